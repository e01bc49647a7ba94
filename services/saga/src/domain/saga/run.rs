//! Where one step of one saga stands.

use crate::domain::{Micros, transition::Failure};

/// Where the doing or the undoing of a step stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Progress {
    /// Not begun.
    #[default]
    Idle,
    /// Called; the outcome is awaited.
    Calling,
    /// To be called again.
    Due {
        /// When.
        at: Micros,
    },
    /// Succeeded.
    Done,
    /// Its condition was false.
    Skipped,
    /// The participant said no.
    Refused,
    /// Given up with an unknown outcome.
    Unknown,
    /// Only an operator can bring it on.
    Parked,
}

/// The doing or the undoing of a step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// Where it stands.
    pub progress: Progress,
    /// Attempts so far.
    pub attempts: u32,
    /// Attempts that its policy does not count: before an operator's retry, or cut off with their orchestrator.
    pub uncounted: u32,
    /// The participant may have done it although no success came back.
    pub doubtful: bool,
    /// Of the last failed attempt.
    pub failure: Option<Failure>,
}

impl Run {
    pub(super) fn called(&mut self, attempt: u32) {
        if self.progress == Progress::Calling {
            self.uncounted += 1;
            self.doubtful = true;
        }
        self.attempts = attempt;
        self.progress = Progress::Calling;
    }

    /// The one who awaited the outcome is gone.
    pub(super) fn interrupt(&mut self, turned_back: bool) {
        if self.progress == Progress::Calling {
            self.doubtful = true;
            if turned_back {
                self.progress = Progress::Unknown;
            } else {
                self.uncounted += 1;
                self.progress = Progress::Due { at: 0 };
            }
        }
    }

    /// The saga turned back: no further attempt. One under way is awaited.
    pub(super) fn abandon(&mut self) {
        if matches!(self.progress, Progress::Due { .. } | Progress::Parked) {
            self.progress = if self.doubtful {
                Progress::Unknown
            } else {
                Progress::Refused
            };
        }
    }

    /// An operator wants it tried again, its attempts counted anew.
    pub(super) fn retry(&mut self) {
        if self.progress == Progress::Parked {
            self.uncounted = self.attempts;
            self.progress = Progress::Due { at: 0 };
        }
    }

    /// Attempts that count against the policy.
    pub fn counted(&self) -> u32 {
        self.attempts.saturating_sub(self.uncounted)
    }
}

/// One step of one saga.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepRun {
    /// Its doing.
    pub action: Run,
    /// Its undoing.
    pub compensation: Run,
}

impl StepRun {
    /// Done or skipped: what waits for it may begin.
    pub fn is_settled(&self) -> bool {
        matches!(self.action.progress, Progress::Done | Progress::Skipped)
    }

    /// There is something to undo, or there may be.
    pub(super) fn left_traces(&self) -> bool {
        self.action.progress == Progress::Done || self.action.doubtful
    }
}

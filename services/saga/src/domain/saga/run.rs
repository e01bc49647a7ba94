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
    /// Refused, but an earlier attempt under the same epoch may still act: to be called again under a newer one.
    Disputed,
    /// Its signal is awaited.
    Awaiting {
        /// How long.
        until: Option<Micros>,
    },
    /// Its items are under way, each by itself.
    Fanned,
    /// Succeeded.
    Done,
    /// Its condition was false, or an operator left it out.
    Skipped,
    /// The participant said no.
    Refused,
    /// Given up with an unknown outcome.
    Unknown,
    /// Only an operator can bring it on.
    Parked,
}

impl Progress {
    /// A call is under way or will be: nobody has to do anything for it to go on.
    pub fn is_at_work(self) -> bool {
        matches!(self, Self::Calling | Self::Due { .. } | Self::Disputed)
    }

    /// Done or left out.
    pub fn is_settled(self) -> bool {
        matches!(self, Self::Done | Self::Skipped)
    }
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
    /// When the first attempt that counts began.
    pub since: Option<Micros>,
    /// The participant may have done it although no success came back.
    pub doubtful: bool,
    /// An attempt under the present epoch may still act although nobody awaits it any more. Participants refuse those
    /// of older epochs.
    pub stray: bool,
    /// Of the last failed attempt.
    pub failure: Option<Failure>,
}

impl Run {
    pub(super) fn called(&mut self, attempt: u32, at: Micros) {
        if self.progress == Progress::Calling {
            self.uncounted += 1;
            self.doubtful = true;
            self.stray = true;
        }
        self.attempts = attempt;
        self.since.get_or_insert(at);
        self.progress = Progress::Calling;
    }

    /// The one who awaited the outcome is gone, and its epoch is over.
    pub(super) fn interrupt(&mut self, turned_back: bool) {
        self.stray = false;
        if self.progress == Progress::Disputed {
            self.progress = Progress::Due { at: 0 };
        }
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
        if matches!(
            self.progress,
            Progress::Due { .. }
                | Progress::Disputed
                | Progress::Parked
                | Progress::Awaiting { .. }
        ) {
            self.progress = if self.doubtful {
                Progress::Unknown
            } else {
                Progress::Refused
            };
        }
    }

    /// An operator wants it tried again, its attempts and time counted anew.
    pub(super) fn retry(&mut self, calls: bool) {
        if self.progress == Progress::Parked {
            self.uncounted = self.attempts;
            self.since = None;
            self.progress = if calls {
                Progress::Due { at: 0 }
            } else {
                Progress::Idle
            };
        }
    }

    /// An operator settles it. What a call under way does is not known then.
    pub(super) fn overrule(&mut self, progress: Progress) {
        self.doubtful |= self.progress == Progress::Calling;
        self.progress = progress;
    }

    /// Attempts that count against the policy.
    pub fn counted(&self) -> u32 {
        self.attempts.saturating_sub(self.uncounted)
    }
}

/// The doing and the undoing of a step, or of one item of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ItemRun {
    /// Its doing.
    pub action: Run,
    /// Its undoing.
    pub compensation: Run,
}

/// One step of one saga. `action` and `compensation` are its own, or, once it has items, only sum them up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepRun {
    /// Its doing.
    pub action: Run,
    /// Its undoing.
    pub compensation: Run,
    /// By item, of a step that has been fanned out.
    pub items: Option<Vec<ItemRun>>,
}

impl StepRun {
    /// Done or skipped: what waits for it may begin.
    pub fn is_settled(&self) -> bool {
        self.action.progress.is_settled()
    }

    /// What is called by itself: the step, or each of its items.
    pub fn units(&self) -> impl Iterator<Item = Unit<'_>> {
        let own = self.items.is_none().then_some(Unit {
            item: None,
            action: &self.action,
            compensation: &self.compensation,
        });
        let items = self.items.iter().flatten();
        own.into_iter()
            .chain((0..).zip(items).map(|(item, run)| Unit {
                item: Some(item),
                action: &run.action,
                compensation: &run.compensation,
            }))
    }

    /// The same, to change: every doing and undoing.
    pub(super) fn runs_mut(&mut self) -> impl Iterator<Item = (&mut Run, &mut Run)> {
        let items = self.items.iter_mut().flatten();
        std::iter::once((&mut self.action, &mut self.compensation))
            .chain(items.map(|item| (&mut item.action, &mut item.compensation)))
    }
}

/// A step without items, or one item of a step.
#[derive(Clone, Copy, Debug)]
pub struct Unit<'a> {
    /// Which item, from 0.
    pub item: Option<u32>,
    /// Its doing.
    pub action: &'a Run,
    /// Its undoing.
    pub compensation: &'a Run,
}

impl Unit<'_> {
    /// There is something to undo, or there may be.
    pub fn left_traces(&self) -> bool {
        self.action.progress == Progress::Done || self.action.doubtful
    }

    /// Its compensation may begin. Whether one whose call is under way needs it is not known yet.
    pub(super) fn is_to_undo(&self) -> bool {
        self.action.progress != Progress::Calling && self.left_traces()
    }

    /// Nothing of it is left to be undone, and nothing will come.
    pub(super) fn is_undone(&self, undoable: bool) -> bool {
        self.action.progress != Progress::Calling
            && (!undoable || !self.left_traces() || self.compensation.progress == Progress::Done)
    }
}

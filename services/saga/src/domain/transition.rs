//! What can happen to a saga: the records of its log.

use std::sync::Arc;

use prost::bytes::Bytes;

use super::Micros;

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Does the step.
    Action,
    /// Undoes it.
    Compensation,
}

/// Why a call or a saga failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// The step; empty where the saga as a whole was stopped.
    pub step: Arc<str>,
    /// The gRPC status, e.g. `FAILED_PRECONDITION`.
    pub code: String,
    /// For programs, e.g. `CARD_DECLINED`.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
}

/// What follows on a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sequel {
    /// It is called again.
    Again {
        /// When.
        at: Micros,
    },
    /// The participant said no: nothing was done.
    Refused,
    /// The participant said no, but an earlier attempt under the same epoch may still act: it is called again at once
    /// under a newer one.
    Disputed {
        /// When that was found.
        at: Micros,
    },
    /// Given up; whether it was done is unknown.
    GivenUp,
    /// Only an operator can bring it on.
    Parked,
}

/// The status of a step that an operator says was not done.
pub const RESOLVED: &str = "FAILED_PRECONDITION";

/// What an operator says that a step came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is left out.
    Skipped,
    /// It was done, with this encoded reply; none where no expression reads it.
    Done(Option<Bytes>),
    /// It was not done.
    Failed(Failure),
}

/// One record of a saga's log.
#[derive(Clone, Debug, PartialEq)]
pub enum Transition {
    /// A step that calls nothing counts as done.
    Passed {
        /// The step.
        step: usize,
    },
    /// A step's condition was false.
    Skipped {
        /// The step.
        step: usize,
    },
    /// A step has these items to be done for.
    Fanned {
        /// The step.
        step: usize,
        /// The items, encoded.
        items: Bytes,
    },
    /// A step begins to wait for its signal.
    Awaited {
        /// The step.
        step: usize,
        /// When it gives up.
        until: Option<Micros>,
    },
    /// A step that waits took a signal: it is done.
    Received {
        /// The step.
        step: usize,
        /// Which of the signals that were sent, from 0.
        signal: usize,
    },
    /// The intent: durable before the call goes out.
    Called {
        /// The step.
        step: usize,
        /// Which of its items, where it has some.
        item: Option<u32>,
        /// When it was decided; the time of the record.
        at: Micros,
        /// Doing or undoing.
        operation: Operation,
        /// From 1, per operation.
        attempt: u32,
    },
    /// The outcome of a call: success.
    Answered {
        /// The step.
        step: usize,
        /// Which of its items, where it has some.
        item: Option<u32>,
        /// Doing or undoing.
        operation: Operation,
        /// The attempt that was answered.
        attempt: u32,
        /// The encoded reply, where an expression reads it.
        reply: Option<Bytes>,
    },
    /// The outcome of a call: any failure. Attempt 0: there was no call, its request could not be made.
    Failed {
        /// The step.
        step: usize,
        /// Which of its items, where it has some.
        item: Option<u32>,
        /// Doing or undoing.
        operation: Operation,
        /// The attempt that failed.
        attempt: u32,
        /// What came back.
        failure: Failure,
        /// Whether the participant may have done it all the same.
        doubtful: bool,
        /// What follows.
        sequel: Sequel,
    },
    /// From here on steps are undone.
    TurnedBack {
        /// Why.
        failure: Failure,
    },
    /// An operator aborts it.
    Cancelled {
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// An operator puts it to work again.
    Retried {
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// An operator counts a step, or its undoing, as done without doing it.
    Overridden {
        /// Who.
        by: String,
        /// Why.
        reason: String,
        /// The step.
        step: usize,
        /// Which of its items; all that are not settled where it names none.
        item: Option<u32>,
        /// Doing or undoing.
        operation: Operation,
        /// What the step came to.
        verdict: Verdict,
    },
    /// Somebody sent a signal.
    Signalled {
        /// Who.
        by: String,
        /// Why.
        reason: String,
        /// The signal's name.
        signal: Arc<str>,
        /// Tells it from others of its name.
        id: String,
        /// The encoded `google.protobuf.Struct`.
        payload: Bytes,
    },
    /// It cannot go on by itself.
    Parked {
        /// Why.
        failure: Failure,
    },
    /// All steps are done.
    Completed,
    /// All that was done is undone.
    Compensated,
}

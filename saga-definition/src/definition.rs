//! A definition that passed every check, compiled: names are indices, methods are descriptors, texts are expressions.

use std::{sync::Arc, time::Duration};

use prost_reflect::MessageDescriptor;

use crate::expression::Expression;

/// Most steps of one definition.
pub const MAX_STEPS: usize = 100;
/// Largest text of one definition, in bytes.
pub const MAX_DEFINITION_BYTES: usize = 1024 * 1024;
/// Attempts where a policy names none.
const DEFAULT_ATTEMPTS: u32 = 10;
/// Wait before the second attempt where a policy names none.
const DEFAULT_INITIAL_BACKOFF: Duration = Duration::from_millis(100);
/// Longest wait between attempts where a policy names none.
const DEFAULT_MAX_BACKOFF: Duration = Duration::from_secs(30);
/// Growth of the wait where a policy names none.
const DEFAULT_MULTIPLIER: f64 = 2.0;
/// Share of a wait that is left to chance where a policy names none.
const DEFAULT_JITTER: f64 = 0.5;
/// Most items of a `for_each` where it names none.
pub const DEFAULT_MAX_ITEMS: usize = 100;
/// Most items of any `for_each`.
pub const MAX_ITEMS: usize = 1_000;
/// Items under way at a time where a `for_each` names none.
pub const DEFAULT_MAX_PARALLEL: usize = 10;
/// Most items under way at a time of any `for_each`.
pub const MAX_PARALLEL: usize = 100;
/// Longest time of one attempt where a step names none.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// What a saga does.
#[derive(Debug)]
pub struct Definition {
    /// Lower case letters, digits and `-`.
    pub name: String,
    /// The event that starts it.
    pub trigger: Option<Trigger>,
    /// In the order of the text.
    pub steps: Vec<Step>,
    /// Indices of the steps, each after all that it depends on.
    pub order: Vec<usize>,
    /// The step from whose success on steps only go forward.
    pub pivot: Option<usize>,
    /// Longest time from start to the pivot. Says nothing where the saga only goes forward.
    pub deadline: Option<Duration>,
}

impl Definition {
    /// Whether no step can be undone and none is the pivot: such a saga is past its pivot from its start.
    pub fn only_forward(&self) -> bool {
        self.pivot.is_none() && self.steps.iter().all(|step| step.compensation.is_none())
    }

    /// The step of a name.
    pub fn step(&self, name: &str) -> Option<usize> {
        self.steps.iter().position(|step| &*step.name == name)
    }
}

/// The event that starts a saga.
#[derive(Debug)]
pub struct Trigger {
    /// e.g. `ordering.order.placed.v1`
    pub subject: String,
    /// The event's message.
    pub message: MessageDescriptor,
    /// The saga's key, a string.
    pub key: Expression,
    /// A bool; an event for which it is false starts nothing.
    pub when: Option<Expression>,
}

/// One step.
#[derive(Debug)]
pub struct Step {
    /// Unique within the definition.
    pub name: Arc<str>,
    /// Steps that must be done or skipped before.
    pub after: Vec<usize>,
    /// Steps that name this one in `after`: undone before this one is.
    pub before: Vec<usize>,
    /// A bool; skipped where it is false.
    pub when: Option<Expression>,
    /// A step without one waits for a signal, or only has a compensation.
    pub call: Option<Call>,
    /// The signal whose payload is the reply, where the step calls nothing.
    pub wait_for: Option<WaitFor>,
    /// The items that it is called for, one by one.
    pub for_each: Option<ForEach>,
    /// How to undo it.
    pub compensation: Option<Call>,
    /// Stands after the pivot, or the whole definition [only goes forward](Definition::only_forward): a failure parks it.
    pub past_pivot: bool,
    /// Some expression reads its reply, so that it has to be kept.
    pub reply_is_read: bool,
}

/// A signal that a step waits for.
#[derive(Debug)]
pub struct WaitFor {
    /// The signal's name.
    pub signal: Arc<str>,
    /// What its payload is: a `google.protobuf.Struct`.
    pub payload: MessageDescriptor,
    /// Longest wait; unlimited where there is none.
    pub timeout: Option<Duration>,
}

/// The items that a step is called for.
#[derive(Debug)]
pub struct ForEach {
    /// A list; its elements are `item` in the step's other expressions.
    pub items: Expression,
    /// With more the step fails.
    pub max_items: usize,
    /// Items under way at a time.
    pub max_parallel: usize,
}

/// A unary method and how it is called.
#[derive(Debug)]
pub struct Call {
    /// `/package.Service/Method`
    pub path: Arc<str>,
    /// Full name of the service, `package.Service`.
    pub service: Arc<str>,
    /// The request.
    pub input: MessageDescriptor,
    /// The reply.
    pub output: MessageDescriptor,
    /// Makes the request.
    pub request: Expression,
    /// Longest time of one attempt.
    pub timeout: Duration,
    /// How it is repeated.
    pub retry: RetryPolicy,
}

/// How a call is repeated while its outcome is unknown or the fault may pass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryPolicy {
    /// In all.
    pub max_attempts: u32,
    /// Wait before the second attempt.
    pub initial_backoff: Duration,
    /// Longest wait between two attempts.
    pub max_backoff: Duration,
    /// Growth of the wait.
    pub multiplier: f64,
    /// Share of a wait that is left to chance, 0 to 1.
    pub jitter: f64,
    /// Time from the first attempt after which no further one begins.
    pub total_time: Option<Duration>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: DEFAULT_ATTEMPTS,
            initial_backoff: DEFAULT_INITIAL_BACKOFF,
            max_backoff: DEFAULT_MAX_BACKOFF,
            multiplier: DEFAULT_MULTIPLIER,
            jitter: DEFAULT_JITTER,
            total_time: None,
        }
    }
}

impl RetryPolicy {
    /// The wait after this many attempts. `chance` from 0 to 1 spreads callers over the share that is left to it.
    pub fn backoff(&self, attempts: u32, chance: f64) -> Duration {
        let growth = self.multiplier.powf(f64::from(attempts.saturating_sub(1)));
        let longest = self.max_backoff.as_secs_f64();
        let wait = (self.initial_backoff.as_secs_f64() * growth).min(longest);
        Duration::from_secs_f64(wait * (1.0 - self.jitter * (1.0 - chance.clamp(0.0, 1.0))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_grows_to_its_limit_and_spreads_over_its_jitter() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.backoff(1, 1.0), Duration::from_millis(100));
        assert_eq!(policy.backoff(1, 0.0), Duration::from_millis(50));
        let steady = RetryPolicy {
            jitter: 0.0,
            ..policy
        };
        assert_eq!(steady.backoff(1, 0.0), Duration::from_millis(100));
        assert_eq!(policy.backoff(3, 1.0), Duration::from_millis(400));
        assert_eq!(policy.backoff(u32::MAX, 1.0), Duration::from_secs(30));
    }
}

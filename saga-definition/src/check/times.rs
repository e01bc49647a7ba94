//! Durations, counts and growth: their defaults and limits.

use std::time::Duration;

use contracts::caravan::saga::v1 as pb;

use super::Compiler;
use crate::definition::RetryPolicy;

/// Longest timeout of an attempt.
pub(super) const MAX_TIMEOUT: Duration = Duration::from_secs(3600);
/// Longest wait between two attempts, and longest saga deadline.
pub(super) const MAX_WAIT: Duration = Duration::from_secs(365 * 24 * 3600);
/// Most attempts of a call.
const MAX_ATTEMPTS: i32 = 1_000_000;
/// Strongest growth of a wait.
const MAX_MULTIPLIER: f64 = 1000.0;

impl Compiler<'_> {
    pub(super) fn retry(&mut self, field: &str, retry: Option<&pb::RetryPolicy>) -> RetryPolicy {
        let default = RetryPolicy::default();
        let Some(retry) = retry else { return default };
        if !(0..=MAX_ATTEMPTS).contains(&retry.max_attempts) {
            self.fault(
                format!("{field}.maxAttempts"),
                format!("must be 0 to {MAX_ATTEMPTS}"),
            );
        }
        if retry.multiplier != 0.0 && !(1.0..=MAX_MULTIPLIER).contains(&retry.multiplier) {
            self.fault(
                format!("{field}.multiplier"),
                format!("must be 1 to {MAX_MULTIPLIER}"),
            );
        }
        let jitter = retry.jitter.unwrap_or(default.jitter);
        if !(0.0..=1.0).contains(&jitter) {
            self.fault(format!("{field}.jitter"), "must be 0 to 1");
        }
        let total_time = self
            .duration(
                &format!("{field}.totalTime"),
                retry.total_time.as_ref(),
                None,
                MAX_WAIT,
            )
            .flatten();
        let mut wait = |name: &str, value, default: Duration| {
            self.duration(&format!("{field}.{name}"), value, Some(default), MAX_WAIT)
                .flatten()
                .unwrap_or(default)
        };
        let initial_backoff = wait(
            "initialBackoff",
            retry.initial_backoff.as_ref(),
            default.initial_backoff,
        );
        RetryPolicy {
            max_attempts: match u32::try_from(retry.max_attempts) {
                Ok(0) | Err(_) => default.max_attempts,
                Ok(attempts) => attempts,
            },
            initial_backoff,
            max_backoff: wait(
                "maxBackoff",
                retry.max_backoff.as_ref(),
                default.max_backoff,
            )
            .max(initial_backoff),
            jitter,
            total_time,
            multiplier: if retry.multiplier == 0.0 {
                default.multiplier
            } else {
                retry.multiplier
            },
        }
    }

    /// Outer `None`: at fault. Inner `None`: neither set nor with a default.
    #[allow(clippy::option_option)]
    pub(super) fn duration(
        &mut self,
        field: &str,
        value: Option<&prost_types::Duration>,
        default: Option<Duration>,
        longest: Duration,
    ) -> Option<Option<Duration>> {
        let Some(value) = value else {
            return Some(default);
        };
        match Duration::try_from(*value) {
            Ok(duration) if !duration.is_zero() && duration <= longest => Some(Some(duration)),
            _ => {
                self.fault(
                    field,
                    format!(
                        "must be longer than 0 s and at most {} s",
                        longest.as_secs()
                    ),
                );
                None
            }
        }
    }
}

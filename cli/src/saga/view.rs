//! Sagas as the orchestrator tells of them in JSON.

use std::time::Duration;

use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A time of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Time(OffsetDateTime);

impl TryFrom<String> for Time {
    type Error = time::error::Parse;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        OffsetDateTime::parse(&text, &Rfc3339).map(Self)
    }
}

impl Time {
    /// The time of this machine.
    #[must_use]
    pub fn now() -> Self {
        Self(OffsetDateTime::now_utc())
    }

    /// The time since `earlier`; zero where that is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::try_from(self.0 - earlier.0).unwrap_or_default()
    }

    /// To the second, UTC.
    #[must_use]
    pub fn text(self) -> String {
        let (date, time) = (self.0.date(), self.0.time());
        let (hour, minute, second) = time.as_hms();
        format!("{date} {hour:02}:{minute:02}:{second:02}Z")
    }
}

/// One saga.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Saga {
    /// UUID.
    pub saga_id: String,
    /// The definition's name.
    pub definition: String,
    /// The definition's version.
    pub version: i32,
    /// Unique within the definition.
    pub key: String,
    /// `SAGA_STATE_...`
    pub state: String,
    /// In the order of the definition; empty in lists.
    pub steps: Vec<Step>,
    /// Why it turned back or stopped.
    pub failure: Option<Failure>,
    /// When it began.
    pub create_time: Option<Time>,
    /// When it last changed.
    pub update_time: Option<Time>,
    /// Oldest first.
    pub interventions: Vec<Intervention>,
    /// Where it stands.
    pub current_steps: Vec<String>,
}

impl Saga {
    /// Whether nothing follows.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(
            self.state.as_str(),
            "SAGA_STATE_COMPLETED" | "SAGA_STATE_COMPENSATED"
        )
    }
}

/// One step.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Step {
    /// Unique within the definition.
    pub name: String,
    /// `STEP_STATE_...`
    pub state: String,
    /// Oldest first.
    pub attempts: Vec<Attempt>,
    /// When the next attempt is due.
    pub next_attempt_time: Option<Time>,
    /// Steps that it waits for.
    pub after: Vec<String>,
    /// The signal that it waits for.
    pub signal: String,
    /// How long it waits for it.
    pub signal_deadline_time: Option<Time>,
    /// States of its items.
    pub items: Vec<String>,
}

/// One call.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Attempt {
    /// `OPERATION_ACTION` or `OPERATION_COMPENSATION`
    pub operation: String,
    /// From 1.
    pub number: i32,
    /// When it began.
    pub start_time: Option<Time>,
    /// When it ended; unset while it is under way.
    pub end_time: Option<Time>,
    /// The gRPC status.
    pub code: String,
    /// For programs.
    pub reason: String,
    /// For people.
    pub message: String,
    /// Which item.
    pub item: Option<i32>,
}

impl Attempt {
    /// Whether it undoes.
    #[must_use]
    pub fn undoes(&self) -> bool {
        self.operation == "OPERATION_COMPENSATION"
    }

    /// Whether it ended other than well.
    #[must_use]
    pub fn failed(&self) -> bool {
        !matches!(self.code.as_str(), "" | "OK")
    }
}

/// Why a saga turned back or stopped.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Failure {
    /// The step.
    pub step: String,
    /// The gRPC status.
    pub code: String,
    /// For programs.
    pub reason: String,
    /// For people.
    pub message: String,
}

/// What somebody did to a saga.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Intervention {
    /// `INTERVENTION_KIND_...`
    pub kind: String,
    /// `user:<id>` or `service:<name>`
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When.
    pub time: Option<Time>,
    /// The step that was meant.
    pub step: String,
    /// Which of its items.
    pub item: Option<i32>,
    /// The signal that was sent.
    pub signal: String,
}

/// `done` of `STEP_STATE_DONE`, `awaiting signal` of `STEP_STATE_AWAITING_SIGNAL`.
#[must_use]
pub fn word(name: &str) -> String {
    let short = ["SAGA_STATE_", "STEP_STATE_", "INTERVENTION_KIND_"]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix));
    short.unwrap_or(name).to_lowercase().replace('_', " ")
}

/// `850 us`, `12 ms`, `3.4 s`, `2 min 5 s`, `3 h 2 min`, `4 d 1 h`.
#[must_use]
pub fn length(time: Duration) -> String {
    let (seconds, ms) = (time.as_secs(), time.as_millis());
    match seconds {
        0 if ms == 0 => format!("{} us", time.as_micros()),
        0 => format!("{ms} ms"),
        1..60 => format!("{:.1} s", time.as_secs_f64()),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_short() {
        for (ms, text) in [
            (0, "0 us"),
            (12, "12 ms"),
            (3_400, "3.4 s"),
            (125_000, "2 min 5 s"),
            (10_930_000, "3 h 2 min"),
            (349_300_000, "4 d 1 h"),
        ] {
            assert_eq!(length(Duration::from_millis(ms)), text);
        }
    }

    #[test]
    fn names_of_the_contract_become_words() {
        assert_eq!(word("STEP_STATE_AWAITING_SIGNAL"), "awaiting signal");
        assert_eq!(word("SAGA_STATE_PARKED"), "parked");
    }
}

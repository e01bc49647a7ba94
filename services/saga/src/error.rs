//! Every way in which a call or an event can fail, and its one code.

use std::time::Duration;

use chassis::{
    Classify,
    error::{Code, Violation},
};
use uuid::Uuid;

use crate::{check::Fault, domain::saga::Refused, reflection};

/// When a call that found too much work may come again.
const OVERLOAD_PAUSE: Duration = Duration::from_secs(2);

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request breaks a rule that the contract's own rules cannot say.
    #[error("{}: {}", .0.field, .0.description)]
    Invalid(Violation),
    /// The definition cannot run.
    #[error("The definition cannot run: {}", .0.first().map_or_else(String::new, ToString::to_string))]
    Definition(Vec<Fault>),
    /// A participant that is not built in does not tell its contract.
    #[error("The contract of {service} cannot be read by its server reflection: {fault}.")]
    Reflection {
        /// The full name of the service that is called.
        service: String,
        /// What is wrong.
        fault: reflection::Fault,
    },
    /// No definition has this name or version.
    #[error("There is no definition '{0}'.")]
    NoDefinition(String),
    /// No saga has this id.
    #[error("There is no saga {0}.")]
    NoSaga(Uuid),
    /// No saga of this definition has this key.
    #[error("The definition '{0}' has no saga '{1}'.")]
    NoSagaOfKey(String, String),
    /// More sagas are due than this orchestrator can work on.
    #[error("Too many sagas are waiting to go on; try again later.")]
    Overloaded,
    /// The definition has a saga with this key, started with another input.
    #[error("The definition has a saga with this key that was started with another input: {0}.")]
    InputDiffers(Uuid),
    /// The saga is not where it would have to be.
    #[error("This cannot be done now: {0}.")]
    Refused(#[from] Refused),
    /// An expression of a trigger failed on an event.
    #[error("{0}")]
    Trigger(String),
    /// As many sagas are watched as may be.
    #[error("Too many sagas are watched; ask again later.")]
    TooManyWatches,
    /// The database failed, or a concurrent change won.
    #[error(transparent)]
    Store(#[from] chassis::db::Error),
}

impl Error {
    /// A field of the request that cannot be used; `field` as JSON names it.
    pub fn invalid(field: &str, description: impl Into<String>) -> Self {
        Self::Invalid(Violation::new(field, description))
    }

    /// A stored row that does not read.
    pub fn corrupt(text: impl Into<String>) -> Self {
        Self::Store(chassis::db::Error::Corrupt(text.into()))
    }
}

impl Classify for Error {
    fn code(&self) -> Code {
        match self {
            Self::Invalid(_) | Self::Definition(_) | Self::Trigger(_) => Code::InvalidArgument,
            Self::NoDefinition(_)
            | Self::NoSaga(_)
            | Self::NoSagaOfKey(..)
            | Self::Refused(Refused::NoStep | Refused::NoItem) => Code::NotFound,
            Self::InputDiffers(_) => Code::AlreadyExists,
            Self::Refused(Refused::SignalDiffers) => Code::AlreadyExists,
            Self::Refused(_) => Code::FailedPrecondition,
            Self::Reflection { fault, .. } if fault.is_transient() => Code::Unavailable,
            Self::Reflection { .. } => Code::FailedPrecondition,
            Self::TooManyWatches | Self::Overloaded => Code::ResourceExhausted,
            Self::Store(error) => error.code(),
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "INVALID_REQUEST",
            Self::Definition(_) => "INVALID_DEFINITION",
            Self::Reflection { fault, .. } => fault.reason(),
            Self::Trigger(_) => "TRIGGER_FAILED",
            Self::NoDefinition(_) => "DEFINITION_NOT_FOUND",
            Self::NoSaga(_) | Self::NoSagaOfKey(..) => "SAGA_NOT_FOUND",
            Self::Overloaded => "SAGA_OVERLOADED",
            Self::InputDiffers(_) => "SAGA_INPUT_DIFFERS",
            Self::Refused(Refused::NotParked) => "SAGA_NOT_PARKED",
            Self::Refused(Refused::Ended) => "SAGA_ENDED",
            Self::Refused(Refused::PastPivot) => "SAGA_PAST_PIVOT",
            Self::Refused(Refused::NoStep) => "SAGA_STEP_NOT_FOUND",
            Self::Refused(Refused::NoItem) => "SAGA_ITEM_NOT_FOUND",
            Self::Refused(Refused::Settled) => "SAGA_STEP_SETTLED",
            Self::Refused(Refused::NotFanned) => "SAGA_ITEMS_UNKNOWN",
            Self::Refused(Refused::Compensation) => "SAGA_COMPENSATION_CANNOT_FAIL",
            Self::Refused(Refused::NoSignal) => "SAGA_SIGNAL_UNKNOWN",
            Self::Refused(Refused::SignalDiffers) => "SAGA_SIGNAL_DIFFERS",
            Self::Refused(Refused::TooManySignals) => "SAGA_TOO_MANY_SIGNALS",
            Self::TooManyWatches => "TOO_MANY_WATCHES",
            Self::Store(error) => error.reason(),
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Store(error) => error.message(),
            _ => self.to_string(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        matches!(self, Self::Overloaded | Self::TooManyWatches).then_some(OVERLOAD_PAUSE)
    }

    fn violations(&self) -> Vec<Violation> {
        match self {
            Self::Invalid(violation) => vec![violation.clone()],
            Self::Definition(faults) => faults
                .iter()
                .map(|fault| Violation::new(fault.field.clone(), fault.to_string()))
                .collect(),
            _ => Vec::new(),
        }
    }
}

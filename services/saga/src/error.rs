//! Every way in which a call or an event can fail, and its one code.

use chassis::{
    Classify,
    error::{Code, Violation},
};
use uuid::Uuid;

use crate::{check::Fault, domain::saga::Refused};

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request breaks a rule that the contract's own rules cannot say.
    #[error("{}: {}", .0.field, .0.description)]
    Invalid(Violation),
    /// The definition cannot run.
    #[error("The definition cannot run: {}", .0.first().map_or("", |fault| fault.text.as_str()))]
    Definition(Vec<Fault>),
    /// No definition has this name or version.
    #[error("There is no definition '{0}'.")]
    NoDefinition(String),
    /// No saga has this id.
    #[error("There is no saga {0}.")]
    NoSaga(Uuid),
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
            Self::NoDefinition(_) | Self::NoSaga(_) => Code::NotFound,
            Self::InputDiffers(_) => Code::AlreadyExists,
            Self::Refused(_) => Code::FailedPrecondition,
            Self::TooManyWatches => Code::ResourceExhausted,
            Self::Store(error) => error.code(),
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "INVALID_REQUEST",
            Self::Definition(_) => "INVALID_DEFINITION",
            Self::Trigger(_) => "TRIGGER_FAILED",
            Self::NoDefinition(_) => "DEFINITION_NOT_FOUND",
            Self::NoSaga(_) => "SAGA_NOT_FOUND",
            Self::InputDiffers(_) => "SAGA_INPUT_DIFFERS",
            Self::Refused(Refused::NotParked) => "SAGA_NOT_PARKED",
            Self::Refused(Refused::Ended) => "SAGA_ENDED",
            Self::Refused(Refused::PastPivot) => "SAGA_PAST_PIVOT",
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

    fn violations(&self) -> Vec<Violation> {
        match self {
            Self::Invalid(violation) => vec![violation.clone()],
            Self::Definition(faults) => faults
                .iter()
                .map(|fault| Violation::new(fault.field.clone(), fault.text.clone()))
                .collect(),
            _ => Vec::new(),
        }
    }
}

//! Every way in which a call can fail, and its one code.

use chassis::{
    Classify,
    error::{Code, Violation},
};
use uuid::Uuid;

use crate::domain::{reservation::ReservationError, stock::StockError};

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request breaks a rule that the contract's own rules cannot say.
    #[error("{}: {}", .0.field, .0.description)]
    Invalid(Violation),
    /// The stock or the hold forbids it.
    #[error(transparent)]
    Rule(#[from] ReservationError),
    /// No stock of this sku was ever counted.
    #[error("There is no stock of '{0}'.")]
    UnknownSku(String),
    /// The order never had a hold.
    #[error("The order {0} has no reservation.")]
    NoReservation(Uuid),
    /// The database failed, or a concurrent change won.
    #[error(transparent)]
    Store(#[from] chassis::db::Error),
}

impl Error {
    /// A field of the request that cannot be used; `field` as JSON names it.
    pub fn invalid(field: &str, description: impl Into<String>) -> Self {
        Self::Invalid(Violation::new(field, description))
    }
}

impl From<StockError> for Error {
    fn from(error: StockError) -> Self {
        Self::Rule(error.into())
    }
}

impl Classify for Error {
    fn code(&self) -> Code {
        match self {
            Self::Invalid(_) => Code::InvalidArgument,
            Self::Rule(ReservationError::Stock(StockError::Unbalanced(_))) => Code::Internal,
            // The commit may still be on its way; who returns units waits for it.
            Self::Rule(ReservationError::NotCommitted) => Code::Unavailable,
            Self::Rule(_) => Code::FailedPrecondition,
            Self::UnknownSku(_) | Self::NoReservation(_) => Code::NotFound,
            Self::Store(error) => error.code(),
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "INVALID_REQUEST",
            Self::Rule(error) => rule_reason(error),
            Self::UnknownSku(_) => "SKU_NOT_FOUND",
            Self::NoReservation(_) => "RESERVATION_NOT_FOUND",
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
            _ => Vec::new(),
        }
    }
}

fn rule_reason(error: &ReservationError) -> &'static str {
    match error {
        ReservationError::Stock(error) => match error {
            StockError::OutOfStock { .. } => "OUT_OF_STOCK",
            StockError::BelowReserved { .. } => "BELOW_RESERVED",
            StockError::TooMany => "TOO_MANY_UNITS",
            StockError::Unbalanced(_) => "STOCK_UNBALANCED",
        },
        ReservationError::Differs => "RESERVATION_DIFFERS",
        ReservationError::Ended => "RESERVATION_ENDED",
        ReservationError::Expired(_) => "RESERVATION_EXPIRED",
        ReservationError::AlreadyCommitted => "RESERVATION_COMMITTED",
        ReservationError::NotCommitted => "RESERVATION_NOT_COMMITTED",
    }
}

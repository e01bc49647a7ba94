//! Every way in which a call can fail, and its one code.

use chassis::{
    Classify,
    error::{Code, Violation},
};
use tonic::Status;
use uuid::Uuid;

use crate::domain::{draft::DuplicateSku, order::OrderError};

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field of the request cannot be used.
    #[error("{}: {}", .0.field, .0.description)]
    Invalid(Violation),
    /// Somebody without an account wants to buy.
    #[error("Only customers place orders.")]
    NotACustomer,
    /// The order does not allow it.
    #[error("{0}")]
    Rule(#[from] OrderError),
    /// No order has this id, or it is somebody else's: the answer is the same.
    #[error("There is no order {0}.")]
    NotFound(Uuid),
    /// Too many callers wait for orders to change.
    #[error("Too many callers wait for orders; read the order again later.")]
    TooManyWatchers,
    /// Another service could not answer.
    #[error("A service that this call needs cannot be reached right now.")]
    Upstream(#[source] Status),
    /// Another service answered what cannot be.
    #[error("{0}")]
    Contract(String),
    /// The database failed, or a concurrent change won.
    #[error(transparent)]
    Store(#[from] chassis::db::Error),
}

impl From<Violation> for Error {
    fn from(violation: Violation) -> Self {
        Self::Invalid(violation)
    }
}

impl From<DuplicateSku> for Error {
    fn from(DuplicateSku { line }: DuplicateSku) -> Self {
        Violation::new(
            format!("lines[{line}].sku"),
            "stands in an earlier line already",
        )
        .into()
    }
}

impl Classify for Error {
    fn code(&self) -> Code {
        match self {
            Self::Invalid(_) => Code::InvalidArgument,
            Self::NotACustomer => Code::PermissionDenied,
            Self::Rule(_) => Code::FailedPrecondition,
            Self::NotFound(_) => Code::NotFound,
            Self::TooManyWatchers => Code::ResourceExhausted,
            Self::Upstream(_) => Code::Unavailable,
            Self::Contract(_) => Code::Internal,
            Self::Store(error) => error.code(),
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "INVALID_REQUEST",
            Self::NotACustomer => "NOT_A_CUSTOMER",
            Self::Rule(OrderError::Cancelled) => "ORDER_CANCELLED",
            Self::Rule(OrderError::Rejected) => "ORDER_REJECTED",
            Self::Rule(OrderError::Confirmed) => "ORDER_CONFIRMED",
            Self::Rule(OrderError::AccountInactive) => "ACCOUNT_INACTIVE",
            Self::Rule(OrderError::NotDelivered) => "ORDER_NOT_DELIVERED",
            Self::Rule(OrderError::NoReturn) => "NO_RETURN_REQUESTED",
            Self::Rule(OrderError::ReturnRequested) => "RETURN_REQUESTED",
            Self::Rule(OrderError::Returned) => "ORDER_RETURNED",
            Self::Rule(OrderError::ReturnDeclined) => "RETURN_DECLINED",
            Self::NotFound(_) => "ORDER_NOT_FOUND",
            Self::TooManyWatchers => "TOO_MANY_WATCHERS",
            Self::Upstream(_) => "UPSTREAM_UNAVAILABLE",
            Self::Contract(_) => "UPSTREAM_CONTRACT",
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

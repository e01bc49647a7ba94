//! Every way in which a call can fail, and its one code.

use chassis::{
    Classify,
    error::{Code, Violation},
};
use uuid::Uuid;

use crate::{
    domain::payment::{Decline, PaymentError},
    provider::ProviderError,
};

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field of the request cannot be used.
    #[error("{}: {}", .0.field, .0.description)]
    Invalid(Violation),
    /// The provider said no.
    #[error("{}", decline_text(.0))]
    Declined(Decline),
    /// The payment does not allow it.
    #[error("{0}")]
    Rule(#[from] PaymentError),
    /// The order is paid with other details than asked for now.
    #[error("The order has a payment with other details.")]
    Different,
    /// No payment has this id, or it is somebody else's: the answer is the same.
    #[error("There is no payment {0}.")]
    NotFound(Uuid),
    /// The order has no payment.
    #[error("There is no payment for order {0}.")]
    NoPayment(Uuid),
    /// The hold ended at the provider before, e.g. because it became too old.
    #[error("The payment provider has ended the hold before.")]
    HoldEnded(#[source] ProviderError),
    /// The provider could not be asked, or its answer did not come: what it did is not known.
    #[error("The payment provider cannot be reached right now.")]
    Provider(#[source] ProviderError),
    /// The database failed, or a concurrent change won.
    #[error(transparent)]
    Store(#[from] chassis::db::Error),
}

/// What a shop shows. The provider's own word stays in the payment: it is not always the customer's to know.
fn decline_text(decline: &Decline) -> &'static str {
    match decline.code.as_str() {
        _ if decline.method_unknown => {
            "This means of payment is not known to the payment provider."
        }
        "insufficient_funds" => "The card was declined: it does not cover the amount.",
        "amount_too_small" => "The amount is too small to be charged.",
        "amount_too_large" => "The amount is too large to be charged.",
        "currency_invalid" => "The currency cannot be charged.",
        "expired_card" => "The card was declined: it has expired.",
        _ => "The card was declined.",
    }
}

impl From<ProviderError> for Error {
    fn from(error: ProviderError) -> Self {
        match error {
            ProviderError::Ended(_) => Self::HoldEnded(error),
            _ => Self::Provider(error),
        }
    }
}

impl From<Violation> for Error {
    fn from(violation: Violation) -> Self {
        Self::Invalid(violation)
    }
}

impl Classify for Error {
    fn code(&self) -> Code {
        match self {
            Self::Invalid(_) => Code::InvalidArgument,
            Self::Rule(PaymentError::UnderWay) | Self::Provider(_) => Code::Unavailable,
            Self::Declined(_) | Self::Rule(_) | Self::Different | Self::HoldEnded(_) => {
                Code::FailedPrecondition
            }
            Self::NotFound(_) | Self::NoPayment(_) => Code::NotFound,
            Self::Store(error) => error.code(),
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "INVALID_REQUEST",
            Self::Declined(decline) if decline.method_unknown => "PAYMENT_METHOD_UNKNOWN",
            Self::Declined(_) => "CARD_DECLINED",
            Self::Rule(PaymentError::Voided) => "PAYMENT_VOIDED",
            Self::Rule(PaymentError::Declined) => "PAYMENT_DECLINED",
            Self::Rule(PaymentError::Captured) => "PAYMENT_CAPTURED",
            Self::Rule(PaymentError::Refunded) => "PAYMENT_REFUNDED",
            Self::Rule(PaymentError::UnderWay) => "PAYMENT_UNDER_WAY",
            Self::Different => "PAYMENT_DIFFERS",
            Self::NotFound(_) | Self::NoPayment(_) => "PAYMENT_NOT_FOUND",
            Self::HoldEnded(_) => "HOLD_ENDED",
            Self::Provider(_) => "PROVIDER_UNAVAILABLE",
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

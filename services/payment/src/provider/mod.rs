//! The payment provider behind one trait.

mod stripe;

use futures::future::BoxFuture;
use uuid::Uuid;

use crate::domain::{money::Money, payment::Decline};

pub use stripe::Stripe;

/// An amount to be held.
#[derive(Clone, Debug)]
pub struct Authorization<'a> {
    /// Our payment; asking again for the same one is the same question.
    pub payment_id: Uuid,
    /// For the provider's books.
    pub order_id: Uuid,
    /// How much.
    pub amount: &'a Money,
    /// The provider's name for the means of payment.
    pub payment_method: &'a str,
}

/// What the provider answered to an authorization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The amount is held under the provider's own id.
    Held(String),
    /// No.
    Declined(Decline),
}

/// The provider did not answer, or not as agreed. Asking again is safe.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// No connection, no answer in time, or an answer that broke off.
    #[error("no answer")]
    NoAnswer(#[source] reqwest::Error),
    /// The hold has come to another end than the one that was asked for: asking again changes nothing.
    #[error("the hold has ended before: {0}")]
    Ended(String),
    /// An answer that is none to this question: what was done is not known.
    #[error("unexpected answer: HTTP {status}, {code}")]
    Unexpected {
        /// The HTTP status.
        status: u16,
        /// The provider's error code, or what else was odd.
        code: String,
    },
}

/// Holds, takes and gives back money. Every call may be repeated: the provider knows it again.
pub trait Provider: Send + Sync + 'static {
    /// Holds an amount.
    fn authorize<'a>(
        &'a self,
        authorization: Authorization<'a>,
    ) -> BoxFuture<'a, Result<Answer, ProviderError>>;

    /// Takes what is held under `reference`.
    fn capture<'a>(&'a self, reference: &'a str) -> BoxFuture<'a, Result<(), ProviderError>>;

    /// Gives back what is held under `reference`; nothing happens where it was given back before.
    fn cancel<'a>(&'a self, reference: &'a str) -> BoxFuture<'a, Result<(), ProviderError>>;

    /// Sends back what was taken under `reference`.
    fn refund<'a>(
        &'a self,
        payment_id: Uuid,
        reference: &'a str,
    ) -> BoxFuture<'a, Result<(), ProviderError>>;
}

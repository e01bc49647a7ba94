//! What can happen to an order.

use uuid::Uuid;

use super::{
    money::Money,
    order::{Line, Rejection, Status},
};

/// Something that happened to an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It was placed and waits for stock and money.
    Placed(Placed),
    /// It was turned down as it was placed.
    Refused(Placed, Rejection),
    /// It was accepted.
    Confirmed,
    /// It was turned down later.
    Rejected(Rejection),
    /// It was taken back.
    Cancelled {
        /// Whether stock and money were held for it.
        was_confirmed: bool,
        /// In the words of whoever took it back; may be empty.
        reason: String,
    },
    /// The customer wants to send it back.
    ReturnRequested {
        /// In the customer's words.
        reason: String,
    },
    /// It was sent back.
    Returned,
    /// It stays with the customer.
    ReturnDeclined {
        /// A sentence for the customer.
        message: String,
    },
}

/// An order as it was placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The account that placed it.
    pub customer_id: Uuid,
    /// The customer's name by then.
    pub customer_name: String,
    /// What was ordered.
    pub lines: Vec<Line>,
    /// The price of all lines; `None` where a product is unknown.
    pub total: Option<Money>,
}

impl Event {
    /// Where an order stands after it.
    pub fn leads_to(&self) -> Status {
        match self {
            Self::Placed(_) => Status::Pending,
            Self::Confirmed => Status::Confirmed,
            Self::Refused(..) | Self::Rejected(_) => Status::Rejected,
            Self::Cancelled { .. } => Status::Cancelled,
            Self::ReturnRequested { .. } => Status::ReturnRequested,
            Self::Returned => Status::Returned,
            Self::ReturnDeclined { .. } => Status::ReturnDeclined,
        }
    }

    /// Why it happened, where somebody said so.
    pub fn reason(&self) -> Option<&str> {
        let reason = match self {
            Self::Placed(_) | Self::Confirmed | Self::Returned => return None,
            Self::Refused(_, rejection) | Self::Rejected(rejection) => &rejection.reason,
            Self::Cancelled { reason, .. } | Self::ReturnRequested { reason } => reason,
            Self::ReturnDeclined { message } => message,
        };
        (!reason.is_empty()).then_some(reason)
    }
}

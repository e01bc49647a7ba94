//! The order: placed, then confirmed, rejected or cancelled; a confirmed one may be sent back.
//!
//! Decisions answer what happens and change nothing; an order is what its events made of it.

mod decisions;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    customer::Customer,
    draft::Draft,
    event::{Event, Placed},
    money::Money,
};

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Placed; stock and money are not held yet.
    Pending,
    /// Stock and money are held for it.
    Confirmed,
    /// Turned down.
    Rejected,
    /// Taken back.
    Cancelled,
    /// The customer wants to send it back; nobody has decided yet.
    ReturnRequested,
    /// Sent back: the money goes back too.
    Returned,
    /// The return was declined.
    ReturnDeclined,
}

impl Status {
    /// Whether checkout has come to an end.
    pub fn is_settled(self) -> bool {
        self != Self::Pending
    }

    /// Whether the order can no longer change.
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Self::Rejected | Self::Cancelled | Self::Returned | Self::ReturnDeclined
        )
    }
}

/// One sku of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What.
    pub sku: String,
    /// The product's name when the order was placed; empty where the product is unknown.
    pub name: String,
    /// Units.
    pub quantity: i32,
    /// The price when the order was placed; `None` where the product is unknown.
    pub unit_price: Option<Money>,
}

/// What the catalogue offers for a sku.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The product's name.
    pub name: String,
    /// The price of one unit.
    pub unit_price: Money,
}

/// Why an order was turned down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// For programs, e.g. `OUT_OF_STOCK`.
    pub reason: String,
    /// A sentence that a shop can show.
    pub message: String,
}

/// A decision that the order does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// It was taken back.
    #[error("The order was cancelled.")]
    Cancelled,
    /// It was turned down.
    #[error("The order was rejected.")]
    Rejected,
    /// It is confirmed, so it can no longer be turned down.
    #[error("The order is already confirmed.")]
    Confirmed,
    /// The customer's account may not buy.
    #[error("This account is not active, so the order cannot be accepted.")]
    AccountInactive,
    /// Checkout has not ended, so there is nothing to send back.
    #[error("The order is not delivered yet.")]
    NotDelivered,
    /// Nobody asked to send it back.
    #[error("No return was asked for.")]
    NoReturn,
    /// A return was asked for: it is decided first.
    #[error("A return of the order was asked for.")]
    ReturnRequested,
    /// It was sent back.
    #[error("The order was returned.")]
    Returned,
    /// It stays with the customer.
    #[error("The return of the order was declined.")]
    ReturnDeclined,
}

/// Events that cannot have happened in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokenHistory {
    /// The first event places no order.
    #[error("an order begins with something else than its placing")]
    NoBeginning,
    /// An order is placed that is there already.
    #[error("an order is placed twice")]
    TwoBeginnings,
}

/// An order. Fields change by events only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    parts: Parts,
}

/// An order's fields, for rows and messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// UUIDv7.
    pub id: Uuid,
    /// The account that placed it.
    pub customer_id: Uuid,
    /// The customer's name when it was placed.
    pub customer_name: String,
    /// Where it stands.
    pub status: Status,
    /// What was ordered.
    pub lines: Vec<Line>,
    /// The price of all lines; `None` where a product is unknown.
    pub total: Option<Money>,
    /// Only where it was turned down.
    pub rejection: Option<Rejection>,
    /// When it was placed.
    pub created: OffsetDateTime,
    /// When it last changed.
    pub updated: OffsetDateTime,
    /// Counts the events; 1 when it is placed.
    pub version: i64,
}

impl Order {
    /// Places an order at the catalogue's prices. What can be known to fail is turned down at once.
    pub fn place(customer: &Customer, draft: &Draft, offers: &HashMap<String, Offer>) -> Event {
        let lines: Vec<Line> = draft
            .wishes()
            .iter()
            .map(|wish| {
                let offer = offers.get(&wish.sku);
                Line {
                    sku: wish.sku.clone(),
                    name: offer.map(|offer| offer.name.clone()).unwrap_or_default(),
                    quantity: wish.quantity,
                    unit_price: offer.map(|offer| offer.unit_price.clone()),
                }
            })
            .collect();
        let total = total(&lines);
        let rejection = obstacle(customer, &lines, total.as_ref());
        let placed = Placed {
            customer_id: customer.id,
            customer_name: customer.display_name.clone(),
            lines,
            total,
        };
        match rejection {
            None => Event::Placed(placed),
            Some(rejection) => Event::Refused(placed, rejection),
        }
    }

    /// What events made of an order: of a new one, or of the one that it was `before` them. `None` without any.
    ///
    /// # Errors
    /// The events are not those of one order.
    pub fn fold<'a>(
        id: Uuid,
        before: Option<Self>,
        events: impl IntoIterator<Item = (&'a Event, OffsetDateTime)>,
    ) -> Result<Option<Self>, BrokenHistory> {
        events
            .into_iter()
            .try_fold(before, |order, (event, at)| match order {
                None => Self::begin(id, event, at).map(Some),
                Some(order) => order.apply(event, at).map(Some),
            })
    }

    /// The order that begins with this event.
    ///
    /// # Errors
    /// [`BrokenHistory::NoBeginning`].
    pub fn begin(id: Uuid, event: &Event, at: OffsetDateTime) -> Result<Self, BrokenHistory> {
        let (placed, rejection) = match event {
            Event::Placed(placed) => (placed, None),
            Event::Refused(placed, why) => (placed, Some(why.clone())),
            _ => return Err(BrokenHistory::NoBeginning),
        };
        let parts = Parts {
            id,
            customer_id: placed.customer_id,
            customer_name: placed.customer_name.clone(),
            status: event.leads_to(),
            lines: placed.lines.clone(),
            total: placed.total.clone(),
            rejection,
            created: at,
            updated: at,
            version: 1,
        };
        Ok(Self { parts })
    }

    /// The order after one more event.
    ///
    /// # Errors
    /// [`BrokenHistory::TwoBeginnings`].
    pub fn apply(mut self, event: &Event, at: OffsetDateTime) -> Result<Self, BrokenHistory> {
        match event {
            Event::Placed(_) | Event::Refused(..) => return Err(BrokenHistory::TwoBeginnings),
            Event::Rejected(rejection) => self.parts.rejection = Some(rejection.clone()),
            Event::Confirmed
            | Event::Cancelled { .. }
            | Event::ReturnRequested { .. }
            | Event::Returned
            | Event::ReturnDeclined { .. } => {}
        }
        self.parts.status = event.leads_to();
        self.parts.updated = at;
        self.parts.version += 1;
        Ok(self)
    }

    /// The order that rows tell of.
    pub fn restore(parts: Parts) -> Self {
        Self { parts }
    }

    /// The order with the name of the customer, which stands beside its events.
    pub fn placed_by(mut self, customer_name: String) -> Self {
        self.parts.customer_name = customer_name;
        self
    }

    /// Its fields.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }
}

/// The price of all lines; `None` where one has no price, or they do not add up.
fn total(lines: &[Line]) -> Option<Money> {
    let mut amounts = lines
        .iter()
        .map(|line| line.unit_price.as_ref()?.times(line.quantity));
    let first = amounts.next()??;
    amounts.try_fold(first, |sum, amount| sum.plus(&amount?))
}

/// What keeps the order from being checked out at all.
fn obstacle(customer: &Customer, lines: &[Line], total: Option<&Money>) -> Option<Rejection> {
    if !customer.active {
        let message = OrderError::AccountInactive.to_string();
        return Some(Rejection {
            reason: "ACCOUNT_INACTIVE".into(),
            message,
        });
    }
    if let Some(unknown) = lines.iter().find(|line| line.unit_price.is_none()) {
        let message = format!("We do not sell '{}'.", unknown.sku);
        return Some(Rejection {
            reason: "UNKNOWN_PRODUCT".into(),
            message,
        });
    }
    if total.is_none() {
        let message = "The products of one order must have prices in one currency.".into();
        return Some(Rejection {
            reason: "MIXED_CURRENCIES".into(),
            message,
        });
    }
    None
}

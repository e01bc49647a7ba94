//! The order: placed, then confirmed, rejected or cancelled; a confirmed one may be sent back.
//!
//! Decisions answer what happens and change nothing; an order is what its events made of it.

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

    /// Accepts the order. `None` where that was done before.
    ///
    /// # Errors
    /// The order is no longer pending, or the account may not buy any more.
    pub fn confirm(&self, account_active: bool) -> Result<Option<Event>, OrderError> {
        match self.parts.status {
            Status::Confirmed
            | Status::ReturnRequested
            | Status::Returned
            | Status::ReturnDeclined => Ok(None),
            Status::Cancelled => Err(OrderError::Cancelled),
            Status::Rejected => Err(OrderError::Rejected),
            Status::Pending if !account_active => Err(OrderError::AccountInactive),
            Status::Pending => Ok(Some(Event::Confirmed)),
        }
    }

    /// Turns the order down. `None` where it was turned down or taken back before.
    ///
    /// # Errors
    /// [`OrderError::Confirmed`].
    pub fn reject(&self, rejection: Rejection) -> Result<Option<Event>, OrderError> {
        match self.parts.status {
            Status::Rejected | Status::Cancelled => Ok(None),
            Status::Confirmed
            | Status::ReturnRequested
            | Status::Returned
            | Status::ReturnDeclined => Err(OrderError::Confirmed),
            Status::Pending => Ok(Some(Event::Rejected(rejection))),
        }
    }

    /// Takes the order back. `None` where that was done before. `reason` is in the words of whoever does it.
    ///
    /// # Errors
    /// It was turned down, or a return of it was asked for.
    pub fn cancel(&self, reason: &str) -> Result<Option<Event>, OrderError> {
        match self.parts.status {
            Status::Cancelled => Ok(None),
            Status::Rejected => Err(OrderError::Rejected),
            Status::ReturnRequested => Err(OrderError::ReturnRequested),
            Status::Returned => Err(OrderError::Returned),
            Status::ReturnDeclined => Err(OrderError::ReturnDeclined),
            Status::Pending | Status::Confirmed => Ok(Some(Event::Cancelled {
                was_confirmed: self.parts.status == Status::Confirmed,
                reason: reason.to_owned(),
            })),
        }
    }

    /// Asks to send the order back. `None` where that was done before, also if it was accepted since. `reason` is in the
    /// customer's words.
    ///
    /// Nothing tells yet when an order arrives: a confirmed one counts as delivered.
    ///
    /// # Errors
    /// The order never was confirmed, was taken back, or its return was declined.
    pub fn request_return(&self, reason: &str) -> Result<Option<Event>, OrderError> {
        match self.parts.status {
            Status::ReturnRequested | Status::Returned => Ok(None),
            Status::Pending => Err(OrderError::NotDelivered),
            Status::Rejected => Err(OrderError::Rejected),
            Status::Cancelled => Err(OrderError::Cancelled),
            Status::ReturnDeclined => Err(OrderError::ReturnDeclined),
            Status::Confirmed => Ok(Some(Event::ReturnRequested {
                reason: reason.to_owned(),
            })),
        }
    }

    /// Takes the order back from the customer. `None` where that was done before.
    ///
    /// # Errors
    /// [`OrderError::NoReturn`], [`OrderError::ReturnDeclined`].
    pub fn accept_return(&self) -> Result<Option<Event>, OrderError> {
        match self.parts.status {
            Status::Returned => Ok(None),
            Status::ReturnDeclined => Err(OrderError::ReturnDeclined),
            Status::ReturnRequested => Ok(Some(Event::Returned)),
            _ => Err(OrderError::NoReturn),
        }
    }

    /// Leaves the order with the customer; `message` is a sentence for the customer. `None` where that was done before.
    ///
    /// # Errors
    /// [`OrderError::NoReturn`], [`OrderError::Returned`].
    pub fn decline_return(&self, message: &str) -> Result<Option<Event>, OrderError> {
        match self.parts.status {
            Status::ReturnDeclined => Ok(None),
            Status::Returned => Err(OrderError::Returned),
            Status::ReturnRequested => Ok(Some(Event::ReturnDeclined {
                message: message.to_owned(),
            })),
            _ => Err(OrderError::NoReturn),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::draft::Wish;

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn customer(active: bool) -> Customer {
        Customer {
            id: Uuid::now_v7(),
            display_name: "Ada".into(),
            active,
        }
    }

    fn offers() -> HashMap<String, Offer> {
        let offer = |name: &str, currency: &str, minor_units| Offer {
            name: name.into(),
            unit_price: Money {
                currency_code: currency.into(),
                minor_units,
            },
        };
        HashMap::from([
            ("mug".into(), offer("Mug", "EUR", 1250)),
            ("cap".into(), offer("Cap", "EUR", 999)),
            ("pin".into(), offer("Pin", "USD", 100)),
        ])
    }

    fn place(customer: &Customer, lines: &[(&str, i32)]) -> Order {
        let wishes = lines
            .iter()
            .map(|(sku, quantity)| Wish {
                sku: (*sku).into(),
                quantity: *quantity,
            })
            .collect();
        let draft = Draft::new(wishes).expect("no sku twice");
        let event = Order::place(customer, &draft, &offers());
        Order::begin(Uuid::now_v7(), &event, NOW).expect("a beginning")
    }

    /// The order after what was decided.
    fn after(order: Order, decision: Result<Option<Event>, OrderError>) -> Order {
        let event = decision.expect("allowed").expect("news");
        order.apply(&event, NOW).expect("no second beginning")
    }

    fn rejection(order: &Order) -> &str {
        &order.parts().rejection.as_ref().expect("rejected").reason
    }

    #[test]
    fn an_order_costs_what_the_catalogue_says() {
        let order = place(&customer(true), &[("mug", 2), ("cap", 1)]);
        assert_eq!(
            order.parts().total,
            Some(Money {
                currency_code: "EUR".into(),
                minor_units: 3499
            })
        );
        assert_eq!(order.parts().status, Status::Pending);
    }

    #[test]
    fn what_must_fail_is_turned_down_at_once() {
        for (active, lines, reason) in [
            (true, vec![("mug", 1), ("unicorn", 1)], "UNKNOWN_PRODUCT"),
            (true, vec![("mug", 1), ("pin", 1)], "MIXED_CURRENCIES"),
            (false, vec![("mug", 1)], "ACCOUNT_INACTIVE"),
        ] {
            let order = place(&customer(active), &lines);
            assert_eq!(order.parts().status, Status::Rejected);
            assert_eq!(rejection(&order), reason);
            assert_eq!(order.parts().lines.len(), lines.len());
        }
    }

    #[test]
    fn a_pending_order_is_confirmed_once() {
        let order = place(&customer(true), &[("mug", 1)]);
        let decision = order.confirm(true);
        let order = after(order, decision);
        assert_eq!(order.confirm(true), Ok(None));
        assert_eq!(order.parts().version, 2);
        let late = Rejection {
            reason: "LATE".into(),
            message: String::new(),
        };
        assert_eq!(order.reject(late), Err(OrderError::Confirmed));
    }

    #[test]
    fn an_account_that_went_inactive_keeps_the_order_from_being_confirmed() {
        let order = place(&customer(true), &[("mug", 1)]);
        assert_eq!(order.confirm(false), Err(OrderError::AccountInactive));
    }

    #[test]
    fn a_cancelled_order_stays_cancelled() {
        let order = place(&customer(true), &[("mug", 1)]);
        let decision = order.cancel("too late");
        assert_eq!(
            decision,
            Ok(Some(Event::Cancelled {
                was_confirmed: false,
                reason: "too late".into()
            }))
        );
        let order = after(order, decision);
        assert_eq!(order.cancel(""), Ok(None));
        assert_eq!(order.confirm(true), Err(OrderError::Cancelled));
        let rejection = Rejection {
            reason: "ORDER_CANCELLED".into(),
            message: String::new(),
        };
        assert_eq!(order.reject(rejection), Ok(None));
        assert_eq!(order.parts().status, Status::Cancelled);
    }

    #[test]
    fn a_confirmed_order_can_be_taken_back_and_a_rejected_one_cannot() {
        let order = place(&customer(true), &[("mug", 1)]);
        let decision = order.confirm(true);
        let order = after(order, decision);
        assert_eq!(
            order.cancel(""),
            Ok(Some(Event::Cancelled {
                was_confirmed: true,
                reason: String::new()
            }))
        );
        let order = place(&customer(true), &[("unicorn", 1)]);
        assert_eq!(order.cancel(""), Err(OrderError::Rejected));
    }

    #[test]
    fn events_of_no_order_and_of_two_are_told_apart_from_those_of_one() {
        let order = place(&customer(true), &[("mug", 1)]);
        let draft = Draft::new(Vec::new()).expect("no sku twice");
        let placed = Order::place(&customer(true), &draft, &offers());
        assert_eq!(order.apply(&placed, NOW), Err(BrokenHistory::TwoBeginnings));
        assert_eq!(
            Order::fold(Uuid::nil(), None, [(&Event::Confirmed, NOW)]),
            Err(BrokenHistory::NoBeginning)
        );
        assert_eq!(Order::fold(Uuid::nil(), None, []), Ok(None));
    }
    #[test]
    fn a_confirmed_order_is_sent_back_once_and_no_longer_cancelled() {
        let order = place(&customer(true), &[("mug", 1)]);
        assert_eq!(order.request_return("worn"), Err(OrderError::NotDelivered));
        assert_eq!(order.accept_return(), Err(OrderError::NoReturn));
        let decision = order.confirm(true);
        let order = after(order, decision);
        let decision = order.request_return("worn");
        let order = after(order, decision);
        assert_eq!(order.request_return("worn"), Ok(None));
        assert_eq!(order.cancel(""), Err(OrderError::ReturnRequested));
        let decision = order.accept_return();
        assert_eq!(decision, Ok(Some(Event::Returned)));
        let order = after(order, decision);
        assert_eq!(order.accept_return(), Ok(None));
        assert_eq!(order.decline_return("no"), Err(OrderError::Returned));
        assert_eq!(order.request_return("worn"), Ok(None));
        assert!(order.parts().status.is_final());
    }

    #[test]
    fn a_declined_return_stays_declined() {
        let order = place(&customer(true), &[("mug", 1)]);
        let decision = order.confirm(true);
        let order = after(order, decision);
        assert_eq!(order.decline_return("no"), Err(OrderError::NoReturn));
        let decision = order.request_return("worn");
        let order = after(order, decision);
        let decision = order.decline_return("no");
        let order = after(order, decision);
        assert_eq!(order.decline_return("no"), Ok(None));
        assert_eq!(order.accept_return(), Err(OrderError::ReturnDeclined));
        assert_eq!(order.request_return(""), Err(OrderError::ReturnDeclined));
        assert_eq!(order.cancel(""), Err(OrderError::ReturnDeclined));
    }
}

//! The order: placed, then confirmed, rejected or cancelled; a confirmed one may be sent back.

use std::collections::HashMap;

use time::OffsetDateTime;
use uuid::Uuid;

use super::{customer::Customer, draft::Draft, money::Money};

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

/// An order. Fields change by decisions only.
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
    /// Counts the changes; 1 when it is placed.
    pub version: i64,
}

/// What placing an order came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Checkout goes on.
    Placed,
    /// It could be turned down at once.
    Rejected,
}

/// The order was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirmed;

/// The order was turned down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejected;

/// The order was taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancelled {
    /// Whether stock and money were held for it.
    pub was_confirmed: bool,
}

/// The customer wants to send the order back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReturnRequested;

/// The order was sent back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Returned;

/// The order stays with the customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReturnDeclined;

impl Order {
    /// Places an order at the catalogue's prices. What can be known to fail is turned down at once.
    pub fn place(
        id: Uuid,
        customer: &Customer,
        draft: &Draft,
        offers: &HashMap<String, Offer>,
        now: OffsetDateTime,
    ) -> (Self, Placement) {
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
        let (status, placement) = match rejection {
            None => (Status::Pending, Placement::Placed),
            Some(_) => (Status::Rejected, Placement::Rejected),
        };
        let parts = Parts {
            id,
            customer_id: customer.id,
            customer_name: customer.display_name.clone(),
            status,
            lines,
            total,
            rejection,
            created: now,
            updated: now,
            version: 1,
        };
        (Self { parts }, placement)
    }

    /// The order that rows tell of.
    pub fn restore(parts: Parts) -> Self {
        Self { parts }
    }

    /// Its fields.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Accepts the order. `None` where that was done before.
    ///
    /// # Errors
    /// The order is no longer pending, or the account may not buy any more.
    pub fn confirm(
        &mut self,
        account_active: bool,
        now: OffsetDateTime,
    ) -> Result<Option<Confirmed>, OrderError> {
        match self.parts.status {
            Status::Confirmed
            | Status::ReturnRequested
            | Status::Returned
            | Status::ReturnDeclined => Ok(None),
            Status::Cancelled => Err(OrderError::Cancelled),
            Status::Rejected => Err(OrderError::Rejected),
            Status::Pending if !account_active => Err(OrderError::AccountInactive),
            Status::Pending => {
                self.go(Status::Confirmed, now);
                Ok(Some(Confirmed))
            }
        }
    }

    /// Turns the order down. `None` where it was turned down or taken back before.
    ///
    /// # Errors
    /// [`OrderError::Confirmed`].
    pub fn reject(
        &mut self,
        rejection: Rejection,
        now: OffsetDateTime,
    ) -> Result<Option<Rejected>, OrderError> {
        match self.parts.status {
            Status::Rejected | Status::Cancelled => Ok(None),
            Status::Confirmed
            | Status::ReturnRequested
            | Status::Returned
            | Status::ReturnDeclined => Err(OrderError::Confirmed),
            Status::Pending => {
                self.parts.rejection = Some(rejection);
                self.go(Status::Rejected, now);
                Ok(Some(Rejected))
            }
        }
    }

    /// Takes the order back. `None` where that was done before.
    ///
    /// # Errors
    /// It was turned down, or a return of it was asked for.
    pub fn cancel(&mut self, now: OffsetDateTime) -> Result<Option<Cancelled>, OrderError> {
        match self.parts.status {
            Status::Cancelled => Ok(None),
            Status::Rejected => Err(OrderError::Rejected),
            Status::ReturnRequested => Err(OrderError::ReturnRequested),
            Status::Returned => Err(OrderError::Returned),
            Status::ReturnDeclined => Err(OrderError::ReturnDeclined),
            Status::Pending | Status::Confirmed => {
                let was_confirmed = self.parts.status == Status::Confirmed;
                self.go(Status::Cancelled, now);
                Ok(Some(Cancelled { was_confirmed }))
            }
        }
    }

    /// Asks to send the order back. `None` where that was done before, also if it was accepted since.
    ///
    /// Nothing tells yet when an order arrives: a confirmed one counts as delivered.
    ///
    /// # Errors
    /// The order never was confirmed, was taken back, or its return was declined.
    pub fn request_return(
        &mut self,
        now: OffsetDateTime,
    ) -> Result<Option<ReturnRequested>, OrderError> {
        match self.parts.status {
            Status::ReturnRequested | Status::Returned => Ok(None),
            Status::Pending => Err(OrderError::NotDelivered),
            Status::Rejected => Err(OrderError::Rejected),
            Status::Cancelled => Err(OrderError::Cancelled),
            Status::ReturnDeclined => Err(OrderError::ReturnDeclined),
            Status::Confirmed => {
                self.go(Status::ReturnRequested, now);
                Ok(Some(ReturnRequested))
            }
        }
    }

    /// Takes the order back from the customer. `None` where that was done before.
    ///
    /// # Errors
    /// [`OrderError::NoReturn`], [`OrderError::ReturnDeclined`].
    pub fn accept_return(&mut self, now: OffsetDateTime) -> Result<Option<Returned>, OrderError> {
        match self.parts.status {
            Status::Returned => Ok(None),
            Status::ReturnDeclined => Err(OrderError::ReturnDeclined),
            Status::ReturnRequested => {
                self.go(Status::Returned, now);
                Ok(Some(Returned))
            }
            _ => Err(OrderError::NoReturn),
        }
    }

    /// Leaves the order with the customer. `None` where that was done before.
    ///
    /// # Errors
    /// [`OrderError::NoReturn`], [`OrderError::Returned`].
    pub fn decline_return(
        &mut self,
        now: OffsetDateTime,
    ) -> Result<Option<ReturnDeclined>, OrderError> {
        match self.parts.status {
            Status::ReturnDeclined => Ok(None),
            Status::Returned => Err(OrderError::Returned),
            Status::ReturnRequested => {
                self.go(Status::ReturnDeclined, now);
                Ok(Some(ReturnDeclined))
            }
            _ => Err(OrderError::NoReturn),
        }
    }

    fn go(&mut self, status: Status, now: OffsetDateTime) {
        self.parts.status = status;
        self.parts.updated = now;
        self.parts.version += 1;
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

    fn place(customer: &Customer, lines: &[(&str, i32)]) -> (Order, Placement) {
        let wishes = lines
            .iter()
            .map(|(sku, quantity)| Wish {
                sku: (*sku).into(),
                quantity: *quantity,
            })
            .collect();
        Order::place(
            Uuid::now_v7(),
            customer,
            &Draft::new(wishes).expect("no sku twice"),
            &offers(),
            NOW,
        )
    }

    fn rejection(order: &Order) -> &str {
        &order.parts().rejection.as_ref().expect("rejected").reason
    }

    #[test]
    fn an_order_costs_what_the_catalogue_says() {
        let (order, placement) = place(&customer(true), &[("mug", 2), ("cap", 1)]);
        assert_eq!(placement, Placement::Placed);
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
            let (order, placement) = place(&customer(active), &lines);
            assert_eq!(placement, Placement::Rejected);
            assert_eq!(order.parts().status, Status::Rejected);
            assert_eq!(rejection(&order), reason);
        }
    }

    #[test]
    fn a_pending_order_is_confirmed_once() {
        let (mut order, _) = place(&customer(true), &[("mug", 1)]);
        assert_eq!(order.confirm(true, NOW), Ok(Some(Confirmed)));
        assert_eq!(order.confirm(true, NOW), Ok(None));
        assert_eq!(order.parts().version, 2);
        let late = Rejection {
            reason: "LATE".into(),
            message: String::new(),
        };
        assert_eq!(order.reject(late, NOW), Err(OrderError::Confirmed));
    }

    #[test]
    fn an_account_that_went_inactive_keeps_the_order_from_being_confirmed() {
        let (mut order, _) = place(&customer(true), &[("mug", 1)]);
        assert_eq!(order.confirm(false, NOW), Err(OrderError::AccountInactive));
        assert_eq!(order.parts().status, Status::Pending);
    }

    #[test]
    fn a_cancelled_order_stays_cancelled() {
        let (mut order, _) = place(&customer(true), &[("mug", 1)]);
        assert_eq!(
            order.cancel(NOW),
            Ok(Some(Cancelled {
                was_confirmed: false
            }))
        );
        assert_eq!(order.cancel(NOW), Ok(None));
        assert_eq!(order.confirm(true, NOW), Err(OrderError::Cancelled));
        let rejection = Rejection {
            reason: "ORDER_CANCELLED".into(),
            message: String::new(),
        };
        assert_eq!(order.reject(rejection, NOW), Ok(None));
        assert_eq!(order.parts().status, Status::Cancelled);
        assert_eq!(order.parts().rejection, None);
    }

    #[test]
    fn a_confirmed_order_can_be_taken_back_and_a_rejected_one_cannot() {
        let (mut order, _) = place(&customer(true), &[("mug", 1)]);
        order.confirm(true, NOW).expect("pending");
        assert_eq!(
            order.cancel(NOW),
            Ok(Some(Cancelled {
                was_confirmed: true
            }))
        );
        let (mut order, _) = place(&customer(true), &[("unicorn", 1)]);
        assert_eq!(order.cancel(NOW), Err(OrderError::Rejected));
    }

    #[test]
    fn a_confirmed_order_is_sent_back_once_and_no_longer_cancelled() {
        let (mut order, _) = place(&customer(true), &[("mug", 1)]);
        assert_eq!(order.request_return(NOW), Err(OrderError::NotDelivered));
        assert_eq!(order.accept_return(NOW), Err(OrderError::NoReturn));
        order.confirm(true, NOW).expect("pending");
        assert_eq!(order.request_return(NOW), Ok(Some(ReturnRequested)));
        assert_eq!(order.request_return(NOW), Ok(None));
        assert_eq!(order.cancel(NOW), Err(OrderError::ReturnRequested));
        assert_eq!(order.accept_return(NOW), Ok(Some(Returned)));
        assert_eq!(order.accept_return(NOW), Ok(None));
        assert_eq!(order.decline_return(NOW), Err(OrderError::Returned));
        assert_eq!(order.request_return(NOW), Ok(None));
        assert!(order.parts().status.is_final());
    }

    #[test]
    fn a_declined_return_stays_declined() {
        let (mut order, _) = place(&customer(true), &[("mug", 1)]);
        order.confirm(true, NOW).expect("pending");
        assert_eq!(order.decline_return(NOW), Err(OrderError::NoReturn));
        order.request_return(NOW).expect("confirmed");
        assert_eq!(order.decline_return(NOW), Ok(Some(ReturnDeclined)));
        assert_eq!(order.decline_return(NOW), Ok(None));
        assert_eq!(order.accept_return(NOW), Err(OrderError::ReturnDeclined));
        assert_eq!(order.request_return(NOW), Err(OrderError::ReturnDeclined));
        assert_eq!(order.cancel(NOW), Err(OrderError::ReturnDeclined));
    }
}

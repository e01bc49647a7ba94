//! What an order allows, state by state.

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

//! Messages to values and back, and the limit of work.

use std::collections::HashMap;

use contracts::caravan::{
    common::v1::Money,
    inventory::v1::{ReserveStockRequest, StockLine},
    ordering::v1::{Order, OrderLine, OrderPlaced, OrderStatus},
};
use prost_reflect::ReflectMessage;

use super::{Expression, Variables, from_message, to_message, with_large_stack};

fn placed() -> OrderPlaced {
    OrderPlaced {
        order_id: "o-1".into(),
        customer_id: "c-1".into(),
        lines: vec![
            OrderLine {
                sku: "a".into(),
                quantity: 2,
                ..Default::default()
            },
            OrderLine {
                sku: "b".into(),
                quantity: 3,
                ..Default::default()
            },
        ],
        total: Some(Money {
            currency_code: "EUR".into(),
            minor_units: 1234,
        }),
        payment_method: "pm_card_visa".into(),
    }
}

fn parse(text: &str) -> Expression {
    let parsed = with_large_stack(|| Expression::parse(text)).expect("a thread");
    parsed.unwrap_or_else(|fault| panic!("{text}: {fault}"))
}

fn variables(message: &impl ReflectMessage) -> Variables {
    let trigger = from_message(&message.transcode_to_dynamic());
    Variables {
        named: HashMap::from([("trigger", trigger)]),
        replies: HashMap::new(),
    }
}

fn evaluate(text: &str) -> Result<cel::Value, String> {
    parse(text)
        .evaluate(&variables(&placed()))
        .map_err(|fault| fault.to_string())
}

#[test]
fn a_request_is_made_of_an_event() {
    let text = "{'order_id': trigger.order_id, 'lines': trigger.lines.filter(l, l.quantity > 0).map(l, {'sku': l.sku, 'quantity': l.quantity})}";
    let value = evaluate(text).expect("a map");
    let message = to_message(&value, &ReserveStockRequest::default().descriptor()).expect("fits");
    let line = |sku: &str, quantity| StockLine {
        sku: sku.into(),
        quantity,
    };
    let expected = ReserveStockRequest {
        order_id: "o-1".into(),
        lines: vec![line("a", 2), line("b", 3)],
    };
    assert_eq!(
        message.transcode_to::<ReserveStockRequest>().expect("same"),
        expected
    );
}

#[test]
fn a_message_passes_through_whole() {
    let order = Order {
        status: OrderStatus::Confirmed.into(),
        total: placed().total,
        ..Default::default()
    };
    let value = parse("trigger")
        .evaluate(&variables(&order))
        .expect("a map");
    let back = to_message(&value, &order.descriptor()).expect("fits");
    assert_eq!(back.transcode_to::<Order>().expect("same"), order);
}

#[test]
fn unset_messages_are_absent_and_unset_scalars_are_zero() {
    let bare = variables(&OrderPlaced::default());
    let truth = |text: &str| parse(text).evaluate(&bare).expect("a bool") == cel::Value::Bool(true);
    assert!(truth(
        "!has(trigger.total) && trigger.order_id == '' && size(trigger.lines) == 0"
    ));
    assert!(parse("trigger.total.minor_units").evaluate(&bare).is_err());
}

#[test]
fn a_value_that_does_not_fit_is_named_by_its_field() {
    let fault = |text: &str| {
        let value = evaluate(text).expect("a value");
        to_message(&value, &ReserveStockRequest::default().descriptor())
            .expect_err("does not fit")
            .to_string()
    };
    assert_eq!(fault("dyn({'order_id': 1})"), "order_id must be a string");
    assert_eq!(
        fault("dyn({'lines': [{'sku': 'a'}, {'quantity': 'x'}]})"),
        "lines[1].quantity must be a int"
    );
    assert_eq!(
        fault("dyn({'lines': [{'quantity': 1.5}]})"),
        "lines[0].quantity must be a int"
    );
    assert!(fault("dyn({'nope': 1})").contains("has no field `nope`"));
    assert_eq!(
        fault("dyn(5)"),
        "the request must be a caravan.inventory.v1.ReserveStockRequest"
    );
}

#[test]
fn enums_are_made_by_name_or_number() {
    for text in [
        "{'status': 'ORDER_STATUS_CONFIRMED'}",
        "{'status': 2}",
        "{'status': 2.0}",
    ] {
        let message = to_message(
            &evaluate(text).expect("a map"),
            &Order::default().descriptor(),
        )
        .expect("fits");
        assert_eq!(
            message.transcode_to::<Order>().expect("same").status(),
            OrderStatus::Confirmed,
            "{text}"
        );
    }
    let wrong = evaluate("{'status': 'ORDER_STATUS_LOST'}").expect("a map");
    assert!(to_message(&wrong, &Order::default().descriptor()).is_err());
}

#[test]
fn what_fails_while_it_runs_is_told() {
    assert!(evaluate("trigger.lines[7].sku").is_err());
    assert!(
        evaluate("9223372036854775807 + int(trigger.total.minor_units)")
            .expect_err("overflow")
            .contains("verflow")
    );
    assert!(evaluate("1 / (int(trigger.total.minor_units) - 1234)").is_err());
}

fn refused(text: &str) {
    let parsed = with_large_stack(|| Expression::parse(text)).expect("a thread");
    let fault = parsed.expect_err("must be refused").to_string();
    assert!(fault.contains("steps of work"), "{fault}");
}

#[test]
fn an_expression_that_is_costly_whatever_it_reads_is_refused_before_it_runs() {
    refused(&format!("['x']{}", ".map(x, x + x)".repeat(40)));
    refused(&format!(
        "[1,2,3,4,5,6,7,8,9,0]{}",
        ".map(x, [x,x,x,x,x,x,x,x,x,x])".repeat(12)
    ));
    let (open, close) = ("[1,2,3,4,5,6,7,8,9,0].all(a, ".repeat(9), ")".repeat(9));
    refused(&format!("{open}true{close}"));
    let (open, close) = ("trigger.lines.all(a, ".repeat(9), ")".repeat(9));
    refused(&format!("{open}true{close}"));
}

#[test]
fn an_expression_that_is_costly_for_what_it_reads_is_refused_when_it_runs() {
    let mut large = placed();
    large.lines = vec![large.lines[0].clone(); 1000];
    let large = variables(&large);
    let pairs = "trigger.lines.all(a, trigger.lines.all(b, trigger.lines.all(c, a.sku == b.sku)))";
    let fault = parse(pairs).evaluate(&large).expect_err("10^9 rounds");
    assert!(fault.text.contains("steps of work"), "{fault}");
    assert!(parse(pairs).evaluate(&variables(&placed())).is_ok());
    // What a shop needs is far below it.
    let text = "trigger.lines.map(l, {'sku': l.sku, 'quantity': l.quantity})";
    assert!(parse(text).evaluate(&large).is_ok());
}

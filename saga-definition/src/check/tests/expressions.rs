//! Expressions: their types, what they may read, and how large they may be.

use super::{accepted, refused, request, second};

#[test]
fn requests_fit_their_messages() {
    let field = "steps[1].request";
    refused(
        &request("{'order': trigger.order_id}"),
        field,
        "step `two`: 1:2: caravan.payment.v1.AuthorizePaymentRequest has no field `order`",
    );
    refused(
        &request("{'order_id': 5}"),
        field,
        "field `order_id` is a string, not a int",
    );
    refused(
        &request("{'amount': trigger.lines}"),
        field,
        "field `amount`",
    );
    refused(
        &request("{'amount': {'minor_units': 'many'}}"),
        field,
        "field `minor_units` is a int, not a string",
    );
    refused(
        &request("trigger"),
        field,
        "caravan.payment.v1.AuthorizePaymentRequest is needed",
    );
    refused(
        &request("{'order_id': trigger.order_id + 1}"),
        field,
        "`_+_` does not take (string, int)",
    );
    refused(
        &request("{'order_id': triger.order_id}"),
        field,
        "there is no `triger` here",
    );
    refused(
        &request("{'order_id': failure.reason}"),
        field,
        "there is no `failure` here",
    );
    refused(
        &request("{'order_id': shout(trigger.order_id)}"),
        field,
        "no function `shout`",
    );
    refused(&request("{'order_id': "), field, "step `two`");
    refused(
        &request("{trigger.order_id: 'x'}"),
        field,
        "keys of caravan.payment.v1.AuthorizePaymentRequest are its field names",
    );
}

#[test]
fn replies_are_read_of_earlier_steps_only() {
    let field = "steps[1].request";
    refused(
        &request("{'order_id': steps.three.reservation_id}"),
        field,
        "no step `three`",
    );
    refused(
        &request("{'order_id': steps.two.payment.payment_id}"),
        field,
        "does not stand before",
    );
    refused(
        &request("{'order_id': steps.one.nope}"),
        field,
        "caravan.inventory.v1.ReserveStockResponse has no field `nope`",
    );
    let fine = accepted(&request("{'order_id': steps.one.reservation_id}"));
    assert!(fine.steps[0].reply_is_read && !fine.steps[1].reply_is_read);
}

#[test]
fn a_compensation_may_read_its_own_reply_and_the_failure() {
    let undo = |expression: &str| {
        second(&format!(
            "    compensation:\n      call: caravan.ordering.v1.OrderingService/RejectOrder\n      request: \"{expression}\"\n"
        ))
    };
    accepted(&undo(
        "{'order_id': steps.two.payment.order_id, 'rejection': {'reason': failure.reason}}",
    ));
    refused(
        &undo("{'order_id': failure.why}"),
        "steps[1].compensation.request",
        "no `why`",
    );
}

#[test]
fn expressions_have_a_size_and_a_depth() {
    let long = format!("{{'order_id': '{}'}}", "x".repeat(9000));
    refused(&request(&long), "steps[1].request", "at most 8192 bytes");
    let deep = format!("{{'order_id': {}'x'{}}}", "(".repeat(60), ")".repeat(60));
    // Brackets leave no trace in the tree; sums do.
    accepted(&request(&deep));
    let sums = format!("{{'order_id': {}'x'}}", "'x' + ".repeat(60));
    refused(&request(&sums), "steps[1].request", "nests at most");
    for (open, close) in [
        ("[", "]"),
        ("'x' + ", ""),
        ("!(", ")"),
        ("true ? 1 : ", ""),
        ("{'a':", "}"),
    ] {
        let count = 8000 / (open.len() + close.len());
        let deeper = format!(
            "{{'order_id': {}'x'{}}}",
            open.repeat(count),
            close.repeat(count)
        );
        refused(&request(&deeper), "steps[1].request", "step `two`");
    }
}

#[test]
fn an_expression_without_an_end_in_sight_is_refused() {
    let (open, close) = ("trigger.lines.all(a, ".repeat(9), ")".repeat(9));
    refused(
        &request(&format!("{{'order_id': {open}true{close} ? 'a' : 'b'}}")),
        "steps[1].request",
        "steps of work",
    );
    let grown = format!("{{'order_id': 'x'{}}}", " + 'x'".repeat(10));
    accepted(&request(&grown));
}

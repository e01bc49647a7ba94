//! Every refusal by name, and what is accepted.

mod expressions;
mod graph;
mod waits;

use contracts::{DESCRIPTOR_POOL, caravan::saga::v1 as pb};
use prost_reflect::DynamicMessage;

use super::{Fault, compile};
use crate::{definition::Definition, places::Places};

const CHECKOUT: &str = include_str!("../../../services/ordering/sagas/checkout.yaml");
const RETURN: &str = include_str!("../../../services/ordering/sagas/return.yaml");
const CANCELLATION: &str = include_str!("../../../services/ordering/sagas/cancellation.yaml");

fn read(source: &str) -> pb::Definition {
    let value: serde_json::Value = serde_saphyr::from_str(source).expect("YAML");
    let descriptor = DESCRIPTOR_POOL
        .get_message_by_name("caravan.saga.v1.Definition")
        .expect("ours");
    DynamicMessage::deserialize(descriptor, value)
        .expect("a Definition")
        .transcode_to()
        .expect("the same")
}

#[track_caller]
fn accepted(source: &str) -> Definition {
    compile(&read(source), &DESCRIPTOR_POOL).unwrap_or_else(|faults| panic!("{faults:#?}"))
}

#[track_caller]
fn refused(source: &str, field: &str, part: &str) {
    let faults = compile(&read(source), &DESCRIPTOR_POOL).expect_err("must be refused");
    let found = |fault: &Fault| fault.field == field && fault.to_string().contains(part);
    assert!(
        faults.iter().any(found),
        "{field}: {part} not in {faults:#?}"
    );
}

/// Two steps and what `rest` adds to the second.
fn second(rest: &str) -> String {
    format!(
        "name: test
trigger: {{subject: ordering.order.placed.v1, key: trigger.order_id}}
steps:
  - name: one
    call: caravan.inventory.v1.InventoryService/ReserveStock
    request: \"{{'order_id': trigger.order_id}}\"
  - name: two
    call: caravan.payment.v1.PaymentService/AuthorizePayment
{rest}"
    )
}

fn request(expression: &str) -> String {
    second(&format!("    request: |\n      {expression}\n"))
}

#[test]
fn the_shop_s_definitions_compile() {
    for source in [CHECKOUT, CANCELLATION, RETURN] {
        accepted(source);
    }
    let checkout = accepted(CHECKOUT);
    assert_eq!(
        checkout.steps[checkout.pivot.expect("one")].name.as_ref(),
        "confirm_order"
    );
    let call = checkout.steps[1].call.as_ref().expect("calls");
    assert_eq!(
        (&*call.service, &*call.path),
        (
            "caravan.inventory.v1.InventoryService",
            "/caravan.inventory.v1.InventoryService/ReserveStock"
        )
    );
    assert!(
        checkout.steps.iter().all(|step| !step.reply_is_read),
        "no reply is used, none is kept"
    );
    assert!(checkout.steps[4].past_pivot && !checkout.steps[3].past_pivot);
}

#[test]
fn names_are_checked() {
    refused(
        "name: Check Out\nsteps: [{name: a, call: x}]",
        "name",
        "lower case",
    );
    refused(
        "name: a\nsteps: [{name: A-b, call: x}]",
        "steps[0].name",
        "lower case",
    );
    refused(
        "name: a\nsteps: [{name: in, call: x}]",
        "steps[0].name",
        "no word of CEL",
    );
    refused(
        "name: a\nsteps: [{name: b, call: x}, {name: b, call: x}]",
        "steps[1].name",
        "two steps `b`",
    );
}

#[test]
fn a_definition_has_1_to_100_steps() {
    refused("name: a", "steps", "1 to 100 steps, not 0");
    let mut long = pb::Definition {
        name: "a".into(),
        ..Default::default()
    };
    long.steps = (0..10_000)
        .map(|step| pb::Step {
            name: format!("s{step}"),
            ..Default::default()
        })
        .collect();
    let faults = compile(&long, &DESCRIPTOR_POOL).expect_err("too long");
    assert!(faults[0].text.contains("not 10000"));
}

#[test]
fn calls_exist_and_are_unary() {
    let call = |call: &str| format!("name: a\nsteps: [{{name: b, call: {call}}}]");
    refused(
        &call("Nowhere"),
        "steps[0].call",
        "step `b`: `Nowhere` is no `package.Service/Method`",
    );
    refused(
        &call("no.Such/Thing"),
        "steps[0].call",
        "no service `no.Such`",
    );
    refused(
        &call("caravan.payment.v1.PaymentService/Steal"),
        "steps[0].call",
        "no method `Steal`",
    );
    refused(
        &call("caravan.ordering.v1.OrderingService/WatchOrder"),
        "steps[0].call",
        "not unary",
    );
    refused(
        "name: a\nsteps: [{name: b}]",
        "steps[0].call",
        "neither a call nor a compensation",
    );
}

#[test]
fn triggers_name_events_and_have_a_text_as_key() {
    let trigger = |subject: &str, rest: &str| {
        format!(
            "name: a\ntrigger: {{subject: {subject}, {rest}}}\nsteps: [{{name: b, call: caravan.payment.v1.PaymentService/VoidPayment}}]"
        )
    };
    refused(
        &trigger("no.such.event.v1", "key: trigger.x"),
        "trigger.subject",
        "no event has the subject",
    );
    let placed = "ordering.order.placed.v1";
    refused(
        &trigger(placed, "key: trigger.total"),
        "trigger.key",
        "must be a string, not a caravan.common.v1.Money",
    );
    refused(
        &trigger(placed, "key: trigger.nope"),
        "trigger.key",
        "caravan.ordering.v1.OrderPlaced has no field `nope`",
    );
    refused(
        &trigger(placed, "key: saga.id"),
        "trigger.key",
        "there is no `saga` here",
    );
    refused(
        &trigger(placed, "key: trigger.order_id, when: trigger.order_id"),
        "trigger.when",
        "must be a bool",
    );
}

#[test]
fn faults_have_their_place_in_the_file() {
    let source = request("{'order_id': trigger.order_id,\n       'amount': trigger.lines}");
    let mut faults = compile(&read(&source), &DESCRIPTOR_POOL).expect_err("must be refused");
    let places = Places::of(&source);
    faults.iter_mut().for_each(|fault| fault.locate(&places));
    let text = faults[0].to_string();
    assert!(
        text.starts_with("11:25: step `two`: field `amount`"),
        "{text}"
    );
}

#[test]
fn a_definition_of_a_mebibyte_is_checked_in_time() {
    let long = format!("{{'order_id': '{}'}}", "x".repeat(8000));
    let steps: String = (0..100)
        .map(|step| {
            format!("  - name: s{step}\n    call: caravan.payment.v1.PaymentService/VoidPayment\n    request: \"{long}\"\n")
        })
        .collect();
    let source = format!("name: a\nsteps:\n{steps}");
    assert!(source.len() > 800_000);
    accepted(&source);
}

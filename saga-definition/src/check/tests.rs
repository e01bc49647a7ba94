//! Every refusal by name, and what is accepted.

use contracts::{DESCRIPTOR_POOL, caravan::saga::v1 as pb};
use prost_reflect::DynamicMessage;

use super::{Fault, compile};
use crate::places::Places;

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
        compile(&read(source), &DESCRIPTOR_POOL).unwrap_or_else(|faults| panic!("{faults:#?}"));
    }
    let checkout = compile(&read(CHECKOUT), &DESCRIPTOR_POOL).expect("compiles");
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
fn steps_that_are_waited_for_exist_and_form_no_cycle() {
    let undo = "compensation: {call: caravan.payment.v1.PaymentService/VoidPayment}";
    refused(
        &format!("name: a\nsteps: [{{name: b, after: [c], {undo}}}]"),
        "steps[0].after[0]",
        "no step `c`",
    );
    refused(
        &format!("name: a\nsteps: [{{name: b, after: [c], {undo}}}, {{name: c, {undo}}}]"),
        "steps[0].after",
        "steps b, c wait for each other",
    );
    refused(
        &format!("name: a\nsteps: [{{name: b, after: [b], {undo}}}]"),
        "steps[0].after",
        "wait for each other",
    );
    refused(
        &format!("name: a\nsteps: [{{name: b, {undo}}}, {{name: c, after: [b, b], {undo}}}]"),
        "steps[1].after[1]",
        "twice",
    );
}

#[test]
fn there_is_one_pivot_and_nothing_beside_it() {
    let confirm = "call: caravan.ordering.v1.OrderingService/ConfirmOrder";
    let undo = "compensation: {call: caravan.payment.v1.PaymentService/VoidPayment}";
    refused(
        &format!(
            "name: a\nsteps: [{{name: b, pivot: true, {confirm}, for_each: {{items: '[1]'}}}}]"
        ),
        "steps[0].for_each",
        "is in the pivot, which is done once",
    );
    refused(
        &format!(
            "name: a\nsteps: [{{name: b, pivot: true, {confirm}}}, {{name: c, pivot: true, {confirm}}}]"
        ),
        "steps[1].pivot",
        "`b` and `c` are both the pivot",
    );
    refused(
        &format!(
            "name: a\nsteps: [{{name: b, pivot: true, {confirm}}}, {{name: c, {confirm}, {undo}}}]"
        ),
        "steps[1].compensation",
        "step `c`: stands after the pivot",
    );
    refused(
        &format!(
            "name: a\nsteps: [{{name: b, pivot: true, {confirm}}}, {{name: c, parallel: true, {confirm}}}]"
        ),
        "steps[1].after",
        "neither before nor after the pivot `b`",
    );
    refused(
        &format!("name: a\nsteps: [{{name: b, pivot: true, {undo}}}]"),
        "steps[0].pivot",
        "calls nothing",
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
    let fine = compile(
        &read(&request("{'order_id': steps.one.reservation_id}")),
        &DESCRIPTOR_POOL,
    )
    .expect("compiles");
    assert!(fine.steps[0].reply_is_read && !fine.steps[1].reply_is_read);
}

#[test]
fn a_compensation_may_read_its_own_reply_and_the_failure() {
    let undo = |expression: &str| {
        second(&format!(
            "    compensation:\n      call: caravan.ordering.v1.OrderingService/RejectOrder\n      request: \"{expression}\"\n"
        ))
    };
    compile(
        &read(&undo(
            "{'order_id': steps.two.payment.order_id, 'rejection': {'reason': failure.reason}}",
        )),
        &DESCRIPTOR_POOL,
    )
    .unwrap_or_else(|faults| panic!("{faults:#?}"));
    refused(
        &undo("{'order_id': failure.why}"),
        "steps[1].compensation.request",
        "no `why`",
    );
}

#[test]
fn times_and_counts_have_limits() {
    refused(
        &second("    timeout: 0s"),
        "steps[1].timeout",
        "longer than 0 s",
    );
    refused(
        &second("    timeout: 7200s"),
        "steps[1].timeout",
        "at most 3600 s",
    );
    refused(
        &second("    retry: {maxAttempts: -1}"),
        "steps[1].retry.maxAttempts",
        "step `two`",
    );
    refused(
        &second("    retry: {multiplier: 0.5}"),
        "steps[1].retry.multiplier",
        "1 to 1000",
    );
    refused(
        &second("    retry: {maxBackoff: -1s}"),
        "steps[1].retry.maxBackoff",
        "longer than 0 s",
    );
    refused(
        &format!("deadline: -5s\n{}", second("")),
        "deadline",
        "longer than 0 s",
    );
}

#[test]
fn expressions_have_a_size_and_a_depth() {
    let long = format!("{{'order_id': '{}'}}", "x".repeat(9000));
    refused(&request(&long), "steps[1].request", "at most 8192 bytes");
    let deep = format!("{{'order_id': {}'x'{}}}", "(".repeat(60), ")".repeat(60));
    // Brackets leave no trace in the tree; sums do.
    assert!(compile(&read(&request(&deep)), &DESCRIPTOR_POOL).is_ok());
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
    assert!(compile(&read(&request(&grown)), &DESCRIPTOR_POOL).is_ok());
}

#[test]
fn a_deadline_of_a_saga_that_never_turns_back_is_refused() {
    refused(
        &format!("deadline: 5s\n{}", second("")),
        "deadline",
        "never turns back",
    );
}

/// One step that waits for a signal, and what `rest` adds after it.
fn waiting(wait: &str, rest: &str) -> String {
    format!("name: a\nsteps:\n  - name: one\n    wait_for: {wait}\n{rest}")
}

#[test]
fn signals_are_checked() {
    let void = "call: caravan.payment.v1.PaymentService/VoidPayment";
    compile(
        &read(&waiting("{signal: approval, timeout: 10s}", "")),
        &DESCRIPTOR_POOL,
    )
    .unwrap_or_else(|faults| panic!("{faults:#?}"));
    refused(
        &waiting("{signal: No Name}", ""),
        "steps[0].waitFor.signal",
        "lower case",
    );
    refused(&waiting("{}", ""), "steps[0].waitFor.signal", "1 to 64");
    refused(
        &waiting("{signal: a, timeout: -1s}", ""),
        "steps[0].waitFor.timeout",
        "longer than 0 s",
    );
    refused(
        &waiting("{signal: a}", "  - {name: two, wait_for: {signal: a}}\n"),
        "steps[1].waitFor.signal",
        "step `one` waits for the signal `a` too",
    );
    refused(
        &waiting("{signal: a}", &format!("    {void}\n")),
        "steps[0].call",
        "waits for a signal",
    );
    // What comes with a signal is known only when it is there.
    let after = |expression: &str| {
        let two = format!("  - {{name: two, {void}, request: \"{expression}\"}}\n");
        read(&waiting("{signal: a}", &two))
    };
    for fine in ["{'order_id': steps.one.order_id}", "{'order_id': saga.key}"] {
        compile(&after(fine), &DESCRIPTOR_POOL).unwrap_or_else(|faults| panic!("{faults:#?}"));
    }
}

#[test]
fn for_each_needs_a_list_and_has_limits() {
    let each = |items: &str, request: &str, more: &str| {
        second(&format!(
            "    for_each: {{items: \"{items}\"{more}}}\n    request: \"{request}\"\n"
        ))
    };
    compile(
        &read(&each(
            "trigger.lines",
            "{'order_id': item.sku + string(index)}",
            "",
        )),
        &DESCRIPTOR_POOL,
    )
    .unwrap_or_else(|faults| panic!("{faults:#?}"));
    let items = "steps[1].forEach.items";
    refused(
        &each("trigger.total", "{}", ""),
        items,
        "must be a list, not a caravan.common.v1.Money",
    );
    refused(
        &each("trigger.order_id", "{}", ""),
        items,
        "must be a list, not a string",
    );
    refused(
        &each("item.parts", "{}", ""),
        items,
        "there is no `item` here",
    );
    refused(&each("", "{}", ""), items, "step `two`");
    refused(
        &each("trigger.lines", "{'order_id': item.nope}", ""),
        "steps[1].request",
        "caravan.ordering.v1.OrderLine has no field `nope`",
    );
    refused(
        &each("trigger.lines", "{}", ", maxItems: 1001"),
        "steps[1].forEach.maxItems",
        "0 to 1000",
    );
    refused(
        &each("trigger.lines", "{}", ", maxParallel: 101"),
        "steps[1].forEach.maxParallel",
        "0 to 100",
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
    compile(&read(&source), &DESCRIPTOR_POOL).unwrap_or_else(|faults| panic!("{faults:#?}"));
}

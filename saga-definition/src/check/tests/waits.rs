//! Times, signals and lists.

use super::{accepted, refused, second};

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
    accepted(&waiting("{signal: approval, timeout: 10s}", ""));
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
        waiting("{signal: a}", &two)
    };
    for fine in ["{'order_id': steps.one.order_id}", "{'order_id': saga.key}"] {
        accepted(&after(fine));
    }
}

#[test]
fn for_each_needs_a_list_and_has_limits() {
    let each = |items: &str, request: &str, more: &str| {
        second(&format!(
            "    for_each: {{items: \"{items}\"{more}}}\n    request: \"{request}\"\n"
        ))
    };
    accepted(&each(
        "trigger.lines",
        "{'order_id': item.sku + string(index)}",
        "",
    ));
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

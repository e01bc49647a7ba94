//! Which step stands before which, and the pivot.

use super::refused;

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

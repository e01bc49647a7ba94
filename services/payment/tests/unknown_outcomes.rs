//! A provider that does not answer, or too late, and processes that end in between: never two holds, never one too many.

mod world;

use alone::{Engine, SagaCall, on_both_engines, reason};
use contracts::caravan::payment::v1::{self as pb, PaymentStatus};
use tonic::{Code, Status};

use world::{EMPTY, Order, PRICE_MINOR, VISA, World, provider::Totals, step, wire::Mode};

on_both_engines!(
    a_lost_answer_is_no_decline_and_asking_again_holds_once,
    a_lost_decline_is_learnt_when_it_is_asked_again,
    a_provider_in_trouble_is_asked_again,
    a_hold_whose_answer_was_lost_is_given_back,
    a_crash_after_the_provider_was_asked_holds_once,
    a_void_that_comes_while_the_provider_is_asked_wins,
    a_lost_answer_to_a_capture_takes_once,
    a_lost_answer_to_a_void_gives_back_once,
    a_lost_answer_to_a_refund_sends_back_once,
);

const HELD: Totals = Totals {
    held: PRICE_MINOR,
    taken: 0,
    returned: 0,
    holds: 1,
};
const GIVEN_BACK: Totals = Totals {
    held: 0,
    taken: 0,
    returned: 0,
    holds: 1,
};
const TAKEN: Totals = Totals {
    held: 0,
    taken: PRICE_MINOR,
    returned: 0,
    holds: 1,
};

/// The outcome is unknown: whoever asked is to ask again.
#[track_caller]
fn unavailable<T: std::fmt::Debug>(answer: Result<T, Status>) {
    assert_eq!(answer.expect_err("no outcome").code(), Code::Unavailable);
}

async fn a_lost_answer_is_no_decline_and_asking_again_holds_once(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let (order, call) = (Order::by(VISA), SagaCall::new("authorize"));
    for mode in [Mode::Cut, Mode::AnswersLost] {
        world.wire.set(mode);
        unavailable(world.authorize(&call, &order).await);
        assert_eq!(world.status(&order).await, PaymentStatus::Pending);
    }
    world.wire.set(Mode::Whole);
    let payment = world.authorize(&call, &order).await.expect("the card pays");
    assert_eq!(payment.status(), PaymentStatus::Authorized);
    assert_eq!(world.provider.books(order.id).await, HELD);
    assert_eq!(
        world
            .service
            .published::<pb::PaymentAuthorized>(1)
            .await
            .len(),
        1
    );
    assert_eq!(
        world.authorize(&call, &order).await.expect("kept"),
        payment,
        "the reply is the last one's"
    );
}

async fn a_lost_decline_is_learnt_when_it_is_asked_again(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let (order, call) = (Order::by(EMPTY), SagaCall::new("authorize"));
    world.wire.set(Mode::AnswersLost);
    unavailable(world.authorize(&call, &order).await);
    world.wire.set(Mode::Whole);
    let refusal = world.authorize(&call, &order).await.expect_err("no money");
    assert_eq!(reason(&refusal), "CARD_DECLINED");
    assert_eq!(world.status(&order).await, PaymentStatus::Declined);
}

async fn a_provider_in_trouble_is_asked_again(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let (order, call) = (Order::by(VISA), SagaCall::new("authorize"));
    world.wire.set(Mode::Trouble);
    unavailable(world.authorize(&call, &order).await);
    world.wire.set(Mode::Whole);
    world.authorize(&call, &order).await.expect("the card pays");
    world.wire.set(Mode::Trouble);
    let capture = step("capture", &call);
    unavailable(world.capture(&capture, &order).await);
    world.wire.set(Mode::Whole);
    world.capture(&capture, &order).await.expect("held");
    assert_eq!(world.provider.books(order.id).await, TAKEN);
}

async fn a_hold_whose_answer_was_lost_is_given_back(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let (order, call) = (Order::by(VISA), SagaCall::new("authorize"));
    world.wire.set(Mode::AnswersLost);
    world.authorize(&call, &order).await.expect_err("no answer");
    assert_eq!(world.provider.books(order.id).await, HELD);
    unavailable(world.void(&call, &order).await);
    world.wire.set(Mode::Whole);
    world
        .void(&call, &order)
        .await
        .expect("learnt, then given back");
    assert_eq!(world.status(&order).await, PaymentStatus::Voided);
    assert_eq!(world.provider.books(order.id).await, GIVEN_BACK);
    world
        .authorize(&call, &order)
        .await
        .expect_err("called off");
    assert_eq!(world.provider.books(order.id).await, GIVEN_BACK);
}

async fn a_crash_after_the_provider_was_asked_holds_once(engine: Engine) {
    let Some(mut world) = World::start(engine).await else {
        return;
    };
    let (order, call) = (Order::by(VISA), SagaCall::new("authorize"));
    world.wire.set(Mode::AnswersLate);
    let (mut peer, message) = (world.peer.clone(), call.action(order.authorize()));
    let asked = tokio::spawn(async move { peer.authorize_payment(message).await });
    world.wire.answered(1).await;
    world.crash().await;
    asked
        .await
        .expect("no panic")
        .expect_err("the process is gone");
    world.wire.set(Mode::Whole);
    world.authorize(&call, &order).await.expect("the card pays");
    assert_eq!(world.provider.books(order.id).await, HELD);
}

async fn a_void_that_comes_while_the_provider_is_asked_wins(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let (order, call) = (Order::by(VISA), SagaCall::new("authorize"));
    world.wire.set(Mode::AnswersLate);
    let (mut peer, message) = (world.peer.clone(), call.action(order.authorize()));
    let asked = tokio::spawn(async move { peer.authorize_payment(message).await });
    world.wire.answered(1).await;
    let (mut peer, message) = (
        world.peer.clone(),
        pb::VoidPaymentRequest {
            order_id: order.id.to_string(),
        },
    );
    let message = call.compensation(message);
    let void = tokio::spawn(async move { peer.void_payment(message).await });
    // It asks the same question again; from now on the first answer comes too late.
    world.wire.answered(2).await;
    world.wire.set(Mode::Whole);
    void.await.expect("no panic").expect("given back");
    let late = asked.await.expect("no panic").expect_err("called off");
    assert_eq!(late.code(), Code::FailedPrecondition);
    assert_eq!(world.status(&order).await, PaymentStatus::Voided);
    assert_eq!(world.provider.books(order.id).await, GIVEN_BACK);
    assert_eq!(
        world.service.published::<pb::PaymentVoided>(1).await.len(),
        1
    );
}

async fn a_lost_answer_to_a_capture_takes_once(engine: Engine) {
    let Some(mut world) = World::start(engine).await else {
        return;
    };
    let (order, call) = (Order::by(VISA), SagaCall::new("authorize"));
    world.authorize(&call, &order).await.expect("the card pays");
    world.wire.set(Mode::AnswersLost);
    let capture = step("capture", &call);
    unavailable(world.capture(&capture, &order).await);
    world.crash().await;
    world.wire.set(Mode::Whole);
    world.capture(&capture, &order).await.expect("taken before");
    assert_eq!(world.provider.books(order.id).await, TAKEN);
    assert_eq!(
        world
            .service
            .published::<pb::PaymentCaptured>(1)
            .await
            .len(),
        1
    );
}

async fn a_lost_answer_to_a_void_gives_back_once(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let (order, call) = (Order::by(VISA), SagaCall::new("authorize"));
    world.authorize(&call, &order).await.expect("the card pays");
    world.wire.set(Mode::AnswersLost);
    unavailable(world.void(&call, &order).await);
    world.wire.set(Mode::Whole);
    world.void(&call, &order).await.expect("given back before");
    assert_eq!(world.provider.books(order.id).await, GIVEN_BACK);
    assert_eq!(
        world.service.published::<pb::PaymentVoided>(1).await.len(),
        1
    );
}

async fn a_lost_answer_to_a_refund_sends_back_once(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let (order, call, refund) = (
        Order::by(VISA),
        SagaCall::new("authorize"),
        SagaCall::new("refund"),
    );
    world.authorize(&call, &order).await.expect("the card pays");
    world
        .capture(&step("capture", &call), &order)
        .await
        .expect("held");
    world.wire.set(Mode::AnswersLost);
    unavailable(world.refund(&refund, &order).await);
    world.wire.set(Mode::Whole);
    world
        .refund(&refund, &order)
        .await
        .expect("sent back before");
    assert_eq!(
        world.provider.books(order.id).await,
        Totals {
            returned: PRICE_MINOR,
            ..TAKEN
        }
    );
    assert_eq!(
        world.service.published::<pb::RefundIssued>(1).await.len(),
        1
    );
}

//! Money that is held, taken, given back and sent back, each once; and what is told of it.

mod world;

use alone::{Engine, SagaCall, on_both_engines, reason, violated_fields};
use contracts::caravan::payment::v1::{self as pb, PaymentStatus};
use tonic::Code;

use world::{EMPTY, Order, PRICE_MINOR, VISA, World, provider::Totals, step};

on_both_engines!(
    a_payment_is_held_taken_and_sent_back,
    a_hold_is_given_back,
    a_declined_card_is_refused_with_a_reason_for_the_shop,
    an_unknown_means_of_payment_is_refused,
    what_cannot_be_charged_is_refused_and_holds_nothing,
    a_repeated_step_answers_the_first_reply,
    a_refund_waits_for_the_capture,
    what_is_taken_is_not_voided,
    an_order_has_one_payment,
    a_hold_that_the_provider_has_ended_is_not_taken,
);

async fn a_payment_is_held_taken_and_sent_back(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let (order, authorize) = (Order::by(VISA), SagaCall::new("authorize"));
    let payment = world
        .authorize(&authorize, &order)
        .await
        .expect("the card pays");
    assert_eq!(payment.status(), PaymentStatus::Authorized);
    assert_eq!(
        (payment.order_id, payment.customer_id),
        (order.id.to_string(), order.customer.to_string())
    );
    assert_eq!(
        world.provider.books(order.id).await,
        Totals {
            held: PRICE_MINOR,
            holds: 1,
            ..Totals::default()
        }
    );

    let captured = world
        .capture(&step("capture", &authorize), &order)
        .await
        .expect("held");
    assert_eq!(captured.status(), PaymentStatus::Captured);
    assert_eq!(
        world.provider.books(order.id).await,
        Totals {
            taken: PRICE_MINOR,
            holds: 1,
            ..Totals::default()
        }
    );

    let refunded = world
        .refund(&SagaCall::new("refund"), &order)
        .await
        .expect("taken");
    assert_eq!(refunded.status(), PaymentStatus::Refunded);
    let sent_back = Totals {
        taken: PRICE_MINOR,
        returned: PRICE_MINOR,
        holds: 1,
        ..Totals::default()
    };
    assert_eq!(world.provider.books(order.id).await, sent_back);

    let (payment_id, order_id) = (payment.payment_id, order.id.to_string());
    let amount = payment.amount;
    let (id, of) = (|| payment_id.clone(), || order_id.clone());
    world
        .service
        .publishes(vec![pb::PaymentAuthorized {
            payment_id: id(),
            order_id: of(),
            amount: amount.clone(),
        }])
        .await;
    world
        .service
        .publishes(vec![pb::PaymentCaptured {
            payment_id: id(),
            order_id: of(),
            amount: amount.clone(),
        }])
        .await;
    world
        .service
        .publishes(vec![pb::RefundIssued {
            payment_id: id(),
            order_id: of(),
            amount,
        }])
        .await;
}

async fn a_hold_is_given_back(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let (order, call) = (Order::by(VISA), SagaCall::new("authorize"));
    let payment = world.authorize(&call, &order).await.expect("the card pays");
    for _ in 0..2 {
        world
            .void(&call, &order)
            .await
            .expect("held, or given back before");
        assert_eq!(world.status(&order).await, PaymentStatus::Voided);
        assert_eq!(
            world.provider.books(order.id).await,
            Totals {
                holds: 1,
                ..Totals::default()
            }
        );
    }
    let event = pb::PaymentVoided {
        payment_id: payment.payment_id,
        order_id: order.id.to_string(),
    };
    world.service.publishes(vec![event]).await;
    let late = world
        .capture(&step("capture", &call), &order)
        .await
        .expect_err("given back");
    assert_eq!(
        (late.code(), reason(&late).as_str()),
        (Code::FailedPrecondition, "PAYMENT_VOIDED")
    );
}

async fn a_declined_card_is_refused_with_a_reason_for_the_shop(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let (order, call) = (Order::by(EMPTY), SagaCall::new("authorize"));
    let refusal = world.authorize(&call, &order).await.expect_err("no money");
    assert_eq!(
        (refusal.code(), reason(&refusal).as_str()),
        (Code::FailedPrecondition, "CARD_DECLINED")
    );
    let again = world
        .authorize(&call, &order)
        .await
        .expect_err("still none");
    assert_eq!(
        (again.code(), again.message()),
        (refusal.code(), refusal.message())
    );

    let payment = world
        .payment(&order)
        .await
        .expect("kept, though the call was refused");
    assert_eq!(
        (payment.status(), payment.decline_code.as_str()),
        (PaymentStatus::Declined, "insufficient_funds")
    );
    let event = pb::PaymentDeclined {
        payment_id: payment.payment_id,
        order_id: order.id.to_string(),
        decline_code: "insufficient_funds".into(),
    };
    world.service.publishes(vec![event]).await;
    world.void(&call, &order).await.expect("nothing is held");
    assert_eq!(world.status(&order).await, PaymentStatus::Declined);
    assert_eq!(world.provider.books(order.id).await, Totals::default());
}

async fn an_unknown_means_of_payment_is_refused(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let (order, call) = (Order::by("pm_nobody"), SagaCall::new("authorize"));
    let refusal = world.authorize(&call, &order).await.expect_err("unknown");
    assert_eq!(
        (refusal.code(), reason(&refusal).as_str()),
        (Code::FailedPrecondition, "PAYMENT_METHOD_UNKNOWN")
    );
    assert!(
        !refusal.message().contains("pm_nobody"),
        "{}",
        refusal.message()
    );
    let log = world.service.log().join("\n");
    assert!(
        !log.contains("pm_nobody") && !log.contains(world::provider::KEY),
        "it stands in the log"
    );
}

async fn what_cannot_be_charged_is_refused_and_holds_nothing(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let order = Order::by(VISA);
    for minor_units in [0, -1] {
        let mut message = order.authorize();
        message.amount.as_mut().expect("set").minor_units = minor_units;
        let refusal = world
            .peer
            .clone()
            .authorize_payment(message)
            .await
            .expect_err("no amount");
        assert_eq!(refusal.code(), Code::InvalidArgument);
        assert_eq!(violated_fields(&refusal), ["amount.minorUnits"]);
    }
    assert_eq!(world.payment(&order).await, None);
    assert_eq!(world.wire.requests(), 0);
}

async fn a_repeated_step_answers_the_first_reply(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let (order, call) = (Order::by(VISA), SagaCall::new("authorize"));
    let first = world.authorize(&call, &order).await.expect("the card pays");
    let capture = step("capture", &call);
    let taken = world.capture(&capture, &order).await.expect("held");
    let asked = world.wire.requests();
    assert_eq!(
        world.authorize(&call, &order).await.expect("kept"),
        first,
        "as it was then"
    );
    assert_eq!(world.capture(&capture, &order).await.expect("kept"), taken);
    assert_eq!(
        world.wire.requests(),
        asked,
        "the provider is not asked again"
    );
    assert_eq!(
        world
            .service
            .published::<pb::PaymentAuthorized>(1)
            .await
            .len(),
        1
    );
}

async fn a_refund_waits_for_the_capture(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let (order, call, refund) = (
        Order::by(VISA),
        SagaCall::new("authorize"),
        SagaCall::new("refund"),
    );
    let unknown = world.refund(&refund, &order).await.expect_err("no payment");
    assert_eq!(unknown.code(), Code::NotFound);
    world.authorize(&call, &order).await.expect("the card pays");
    let early = world
        .refund(&refund, &order)
        .await
        .expect_err("not taken yet");
    assert_eq!(early.code(), Code::Unavailable, "it comes again");
    world
        .capture(&step("capture", &call), &order)
        .await
        .expect("held");
    world.refund(&refund, &order).await.expect("taken");
    assert_eq!(world.provider.books(order.id).await.returned, PRICE_MINOR);
}

async fn what_is_taken_is_not_voided(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let (order, call) = (Order::by(VISA), SagaCall::new("authorize"));
    world.authorize(&call, &order).await.expect("the card pays");
    world
        .capture(&step("capture", &call), &order)
        .await
        .expect("held");
    let refusal = world.void(&call, &order).await.expect_err("taken");
    assert_eq!(
        (refusal.code(), reason(&refusal).as_str()),
        (Code::FailedPrecondition, "PAYMENT_CAPTURED")
    );
    assert_eq!(world.status(&order).await, PaymentStatus::Captured);
}

async fn an_order_has_one_payment(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let order = Order::by(VISA);
    world
        .authorize(&SagaCall::new("authorize"), &order)
        .await
        .expect("the card pays");
    // Another saga, the same order: the hold is there already.
    world
        .authorize(&SagaCall::new("authorize"), &order)
        .await
        .expect("held");
    assert_eq!(world.provider.books(order.id).await.holds, 1);

    let other = Order {
        customer: uuid::Uuid::now_v7(),
        ..order.clone()
    };
    let refusal = world
        .authorize(&SagaCall::new("authorize"), &other)
        .await
        .expect_err("somebody else pays");
    assert_eq!(
        (refusal.code(), reason(&refusal).as_str()),
        (Code::FailedPrecondition, "PAYMENT_DIFFERS")
    );
}

async fn a_hold_that_the_provider_has_ended_is_not_taken(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let (order, call) = (Order::by(VISA), SagaCall::new("authorize"));
    let payment = world.authorize(&call, &order).await.expect("the card pays");
    world.provider.cancel(&payment.provider_reference).await;
    let refusal = world
        .capture(&step("capture", &call), &order)
        .await
        .expect_err("nothing is held");
    assert_eq!(
        (refusal.code(), reason(&refusal).as_str()),
        (Code::FailedPrecondition, "HOLD_ENDED")
    );
    assert_eq!(
        world.provider.books(order.id).await,
        Totals {
            holds: 1,
            ..Totals::default()
        }
    );
}

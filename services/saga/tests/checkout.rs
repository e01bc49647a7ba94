//! The shop's own definitions, started by events.

mod world;

use alone::{Engine, on_both_engines, wait::until};
use contracts::caravan::{
    common::v1::Money,
    ordering::v1::{OrderCancelled, OrderLine, OrderPlaced},
    saga::v1 as pb,
};
use tonic::Code;
use uuid::Uuid;

use world::{Fate, World};

const CHECKOUT: &str = include_str!("../../ordering/sagas/checkout.yaml");
const CANCELLATION: &str = include_str!("../../ordering/sagas/cancellation.yaml");

on_both_engines!(
    a_placed_order_is_checked_out_once,
    a_refusal_reaches_the_order,
    what_is_no_refusal_is_not_shown,
    a_refusal_that_is_not_for_customers_is_not_shown,
    a_refused_step_of_a_cancellation_loses_no_other,
    an_event_from_before_its_definition_counts,
    a_cancelled_order_is_refunded_only_if_it_was_confirmed,
    a_checkout_costs_one_commit_more_than_it_has_steps,
);

fn placed(order: Uuid) -> OrderPlaced {
    OrderPlaced {
        order_id: order.to_string(),
        customer_id: Uuid::now_v7().to_string(),
        lines: vec![OrderLine {
            sku: "mug".into(),
            quantity: 2,
            ..Default::default()
        }],
        total: Some(Money {
            currency_code: "EUR".into(),
            minor_units: 1999,
        }),
        payment_method: "pm_card_visa".into(),
    }
}

impl World {
    async fn place(&mut self) -> String {
        let order = Uuid::now_v7();
        self.publish(Uuid::now_v7(), &order.to_string(), &placed(order))
            .await;
        order.to_string()
    }

    async fn saga_of(&self, key: &str, state: pb::SagaState) -> pb::Saga {
        until(&format!("the saga of {key} is {state:?}"), || async {
            let found = self
                .list(pb::ListSagasRequest {
                    key: key.into(),
                    ..Default::default()
                })
                .await
                .sagas;
            found
                .first()
                .filter(|saga| saga.state() == state)
                .cloned()
                .ok_or(found)
        })
        .await
    }
}

async fn a_placed_order_is_checked_out_once(engine: Engine) {
    let Some(mut world) = World::start(engine).await else {
        return;
    };
    world.register(CHECKOUT).await.expect("fine");
    let (order, event) = (Uuid::now_v7(), placed(Uuid::nil()));
    let event = OrderPlaced {
        order_id: order.to_string(),
        ..event
    };
    // Delivered twice, and told twice by two events.
    let id = Uuid::now_v7();
    for id in [id, id, Uuid::now_v7()] {
        world.publish(id, &order.to_string(), &event).await;
    }
    let order = order.to_string();
    world.saga_of(&order, pb::SagaState::Completed).await;
    let effects = world.participant.effects(&order).await;
    assert_eq!(
        effects[..3],
        ["ReserveStock", "AuthorizePayment", "ConfirmOrder"]
    );
    let mut last = effects[3..].to_vec();
    last.sort();
    assert_eq!(last, ["CapturePayment", "CommitStock"]);
}

async fn a_refusal_reaches_the_order(engine: Engine) {
    let Some(mut world) = World::start(engine).await else {
        return;
    };
    world.register(CHECKOUT).await.expect("fine");
    world.participant.will(
        "AuthorizePayment",
        [Fate::Status(Code::FailedPrecondition, "CARD_DECLINED")],
    );
    let order = world.place().await;
    world.saga_of(&order, pb::SagaState::Compensated).await;
    assert_eq!(
        world.participant.effects(&order).await,
        ["ReserveStock", "ReleaseStock", "RejectOrder:CARD_DECLINED"]
    );
}

async fn what_is_no_refusal_is_not_shown(engine: Engine) {
    let Some(mut world) = World::start(engine).await else {
        return;
    };
    let quick = CHECKOUT.replace(
        "maxAttempts: 30, initialBackoff: 0.1s",
        "maxAttempts: 2, initialBackoff: 0.01s",
    );
    world.register(&quick).await.expect("fine");
    world.participant.break_down("ReserveStock", Code::Internal);
    let order = world.place().await;
    world.saga_of(&order, pb::SagaState::Compensated).await;
    assert_eq!(
        world.participant.effects(&order).await,
        ["RejectOrder:CHECKOUT_UNAVAILABLE"]
    );
}

async fn a_refusal_that_is_not_for_customers_is_not_shown(engine: Engine) {
    let Some(mut world) = World::start(engine).await else {
        return;
    };
    world.register(CHECKOUT).await.expect("fine");
    world.participant.will(
        "ReserveStock",
        [Fate::Status(Code::PermissionDenied, "ACCESS_DENIED")],
    );
    let order = world.place().await;
    world.saga_of(&order, pb::SagaState::Compensated).await;
    assert_eq!(
        world.participant.effects(&order).await,
        ["RejectOrder:CHECKOUT_UNAVAILABLE"]
    );
}

async fn a_refused_step_of_a_cancellation_loses_no_other(engine: Engine) {
    let Some(mut world) = World::start(engine).await else {
        return;
    };
    world.register(CANCELLATION).await.expect("fine");
    world.participant.will(
        "ReturnStock",
        [Fate::Status(Code::FailedPrecondition, "RESERVATION_ENDED")],
    );
    world.participant.will(
        "RefundPayment",
        [Fate::Status(Code::Unavailable, "PAYMENT_UNDER_WAY")],
    );
    let order = Uuid::now_v7().to_string();
    let event = OrderCancelled {
        order_id: order.clone(),
        was_confirmed: true,
        ..Default::default()
    };
    world.publish(Uuid::now_v7(), &order, &event).await;
    let saga = world.saga_of(&order, pb::SagaState::Parked).await;
    assert_eq!(world.participant.effects(&order).await, ["RefundPayment"]);
    world.retry(&saga.saga_id).await.expect("parked");
    world.saga_of(&order, pb::SagaState::Completed).await;
    assert_eq!(
        world.participant.effects(&order).await,
        ["RefundPayment", "ReturnStock"]
    );
}

async fn an_event_from_before_its_definition_counts(engine: Engine) {
    let Some(mut world) = World::start(engine).await else {
        return;
    };
    let order = world.place().await;
    world.register(CHECKOUT).await.expect("fine");
    world.saga_of(&order, pb::SagaState::Completed).await;
}

async fn a_cancelled_order_is_refunded_only_if_it_was_confirmed(engine: Engine) {
    let Some(mut world) = World::start(engine).await else {
        return;
    };
    world.register(CANCELLATION).await.expect("fine");
    let orders = [false, true].map(|was_confirmed| (Uuid::now_v7().to_string(), was_confirmed));
    for (order, was_confirmed) in &orders {
        let event = OrderCancelled {
            order_id: order.clone(),
            was_confirmed: *was_confirmed,
            ..Default::default()
        };
        world.publish(Uuid::now_v7(), order, &event).await;
    }
    world.saga_of(&orders[1].0, pb::SagaState::Completed).await;
    let mut effects = world.participant.effects(&orders[1].0).await;
    effects.sort();
    assert_eq!(effects, ["RefundPayment", "ReturnStock"]);
    assert_eq!(
        world
            .list(pb::ListSagasRequest::default())
            .await
            .sagas
            .len(),
        1
    );
}

async fn a_checkout_costs_one_commit_more_than_it_has_steps(engine: Engine) {
    let Some(mut world) = World::start(engine).await else {
        return;
    };
    world.register(CHECKOUT).await.expect("fine");
    let order = world.place().await;
    world.saga_of(&order, pb::SagaState::Completed).await;
    // The relay marks what it sent in units of its own; they are not on the path of a saga.
    world.service.published::<pb::SagaCompleted>(1).await;
    const STEPS: usize = 5;
    let saga = world.saga_of(&order, pb::SagaState::Completed).await;
    let log = world.commits_of(&saga.saga_id).await;
    assert!(log <= STEPS + 1, "{log} commits for {STEPS} calls");
}

impl World {
    /// Commits on the path of a saga: the distinct moments at which its log was written.
    async fn commits_of(&self, saga: &str) -> usize {
        use sea_orm::{ConnectionTrait, Database, Statement};
        let database = Database::connect(self.service.database().to_string())
            .await
            .expect("the same database");
        let sql = "SELECT COUNT(DISTINCT at_us) AS n FROM saga_log WHERE saga_id = $1";
        let id: Uuid = saga.parse().expect("a UUID");
        let statement =
            Statement::from_sql_and_values(database.get_database_backend(), sql, [id.into()]);
        let row = database
            .query_one_raw(statement)
            .await
            .expect("counted")
            .expect("a row");
        usize::try_from(row.try_get::<i64>("", "n").expect("a number")).expect("not negative")
    }
}

//! kill -9 in the middle of a burst of purchases: every order ends rightly, and stock and money agree to the unit.

use std::{collections::BTreeMap, time::Duration};

use futures::future::join_all;
use kit::{
    World,
    ledger::Balance,
    rest::try_send,
    shop::{Customer, DECLINED, GOOD_CARD, Order, Status, an_order},
    wait::{until, within},
};

kit::stories!(
    ordering_is_killed,
    inventory_is_killed,
    payment_is_killed,
    saga_is_killed,
    the_broker_is_killed,
    everybody_is_killed_in_turn,
);

const PRICE_MINOR: i64 = 1250;
/// Orders in one burst; every fifth has a card that is declined.
const BURST: usize = 20;
/// Fewer units than the good cards order: some orders are out of stock.
const ON_HAND: i64 = 25;
/// Units an order takes.
const QUANTITY: i32 = 2;
/// Longest time for one answer while the mesh is being hurt.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Longest time until the last order of a burst is settled, restarts and retries among it.
const SETTLED_WITHIN: Duration = Duration::from_secs(120);

async fn ordering_is_killed(world: &World) {
    survive(world, &["ordering"]).await;
}

async fn inventory_is_killed(world: &World) {
    survive(world, &["inventory"]).await;
}

async fn payment_is_killed(world: &World) {
    survive(world, &["payment"]).await;
}

async fn saga_is_killed(world: &World) {
    survive(world, &["saga"]).await;
}

async fn the_broker_is_killed(world: &World) {
    survive(world, &["nats-server"]).await;
}

async fn everybody_is_killed_in_turn(world: &World) {
    survive(
        world,
        &["inventory", "ordering", "nats-server", "saga", "payment"],
    )
    .await;
}

/// Buys as a program that does not give up: the same key until the order is taken.
async fn buy(ada: &Customer, sku: &str, number: usize) -> Order {
    let card = if number % 5 == 4 { DECLINED } else { GOOD_CARD };
    let draft = an_order().line(sku, QUANTITY).card(card);
    within(SETTLED_WITHIN, "the order is taken", || async {
        let request = ada.order_request(&draft).timeout(ANSWER_WITHIN);
        match try_send(request).await {
            Ok(answer) if answer.status == 201 => Ok(answer.read()),
            // The mesh is hurt, or an earlier try is still under way: come again.
            Ok(answer) if matches!(answer.status, 409 | 429 | 502 | 503 | 504) => Err(answer.text),
            Ok(answer) => panic!("{} {}", answer.status, answer.text),
            Err(error) => Err(error.to_string()),
        }
    })
    .await
}

/// Kills the victims, one after the other, while a burst of orders is placed and settled.
async fn survive(world: &World, victims: &[&str]) {
    let sku = world.product("coffee", PRICE_MINOR, ON_HAND).await;
    let ada = world.customer("ada").await;
    // One order through the whole mesh first: everybody has been in touch with everybody.
    let first = ada.place(an_order().line(&sku, 1).wait(30)).await;
    assert_eq!(first.status, Status::Confirmed.name());

    let burst = join_all((0..BURST).map(|number| buy(&ada, &sku, number)));
    let harm = async {
        // In the middle: some orders are taken, none of the burst's last ones is settled.
        until("orders are under way", || async {
            let list = ada.rest.get("/v1/orders").await.json();
            let taken = list["orders"].as_array().map_or(0, Vec::len);
            if taken > 3 { Ok(()) } else { Err(list) }
        })
        .await;
        for victim in victims {
            let pid = world.kill(victim);
            world.restarted(victim, pid).await;
        }
    };
    let (mut orders, ()) = tokio::join!(burst, harm);
    orders.push(first);
    world.ready().await;
    let settled = settle(&ada, &orders).await;
    balanced(world, &sku, &settled).await;
}

/// Waits until no order is pending.
async fn settle(ada: &Customer, orders: &[Order]) -> Vec<Order> {
    within(SETTLED_WITHIN, "every order is settled", || async {
        let now = join_all(orders.iter().map(|order| ada.order(&order.order_id))).await;
        let pending = now
            .iter()
            .filter(|order| order.status == Status::Pending.name());
        match pending.count() {
            0 => Ok(now),
            pending => Err(pending),
        }
    })
    .await
}

/// Orders, stock and the provider's ledger tell the same story.
async fn balanced(world: &World, sku: &str, orders: &[Order]) {
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    let mut confirmed = BTreeMap::new();
    let mut units = 0;
    for order in orders {
        match &order.rejection {
            None => {
                assert_eq!(order.status, Status::Confirmed.name(), "{order:?}");
                units += i64::from(order.lines[0].quantity);
                let kept = order.total.as_ref().expect("a total").minor_units;
                confirmed.insert(order.order_id.clone(), Balance { held: 0, kept });
            }
            Some(rejection) => *reasons.entry(&rejection.reason).or_default() += 1,
        }
    }
    // Rejected for these reasons only, and nobody was refused while there was stock.
    let known = ["CARD_DECLINED", "OUT_OF_STOCK"];
    assert!(
        reasons.keys().all(|reason| known.contains(reason)),
        "{reasons:?}"
    );
    let refused = reasons.get("OUT_OF_STOCK").copied().unwrap_or_default();
    assert!(units <= ON_HAND, "{units} of {ON_HAND} units sold");
    assert!(
        refused == 0 || units > ON_HAND - i64::from(QUANTITY) * 5,
        "{units} sold, {reasons:?}"
    );

    world.until_stock(sku, ON_HAND - units, 0).await;
    within(
        SETTLED_WITHIN,
        "the provider kept exactly what was confirmed",
        || async {
            let mut balances = world.ledger().await.balances();
            balances.retain(|_, balance| *balance != Balance::default());
            if balances == confirmed {
                Ok(())
            } else {
                Err((balances, &confirmed))
            }
        },
    )
    .await;
    let admin = world.admin().await;
    for state in [
        "SAGA_STATE_PARKED",
        "SAGA_STATE_RUNNING",
        "SAGA_STATE_COMPENSATING",
    ] {
        until("no saga is left over", || async {
            let sagas = admin
                .get(&format!("/v1/sagas?state={state}"))
                .await
                .expect(200)
                .json();
            match sagas["sagas"].as_array().is_some_and(Vec::is_empty) {
                true => Ok(()),
                false => Err(sagas),
            }
        })
        .await;
    }
}

//! An order can be watched: as server-sent events until it can no longer change.

use std::time::Duration;

use kit::{
    World,
    shop::{DECLINED, Status, an_order},
};
use reqwest::{Method, Response};
use serde_json::Value;

kit::stories!(
    watching_shows_each_status_and_ends,
    watching_needs_the_right_to_see_the_order,
);

/// Longest wait for the stream's next piece.
const PIECE_WITHIN: Duration = Duration::from_secs(30);

/// Reads the orders of an SSE stream until one has this status.
async fn statuses_until(response: &mut Response, last: Status) -> Vec<String> {
    let mut text = String::new();
    let mut statuses = Vec::new();
    while statuses.last().map(String::as_str) != Some(last.name()) {
        let piece = tokio::time::timeout(PIECE_WITHIN, response.chunk())
            .await
            .expect("the stream goes on")
            .expect("the stream is whole")
            .unwrap_or_else(|| panic!("the stream ended after {statuses:?}: {text}"));
        text.push_str(&String::from_utf8_lossy(&piece));
        while let Some((event, rest)) = text.split_once("\n\n") {
            let data: String = event
                .lines()
                .filter_map(|line| line.strip_prefix("data:"))
                .collect();
            if !data.is_empty() {
                let order: Value = serde_json::from_str(&data).expect("data is JSON");
                statuses.push(order["status"].as_str().expect("a bare order").to_owned());
            }
            text = rest.to_owned();
        }
    }
    statuses
}

async fn watching_shows_each_status_and_ends(world: &World) {
    let sku = world.product("coffee", 1250, 10).await;
    let ada = world.customer("ada").await;
    world.signal("saga", "STOP");
    let order = ada.place(an_order().line(&sku, 1).card(DECLINED)).await;

    let path = format!("/v1/orders/{}:watch", order.order_id);
    let request = ada.rest.request(Method::GET, &path);
    let request = request.header("accept", "text/event-stream");
    let mut response = request.send().await.expect("an answer");
    assert_eq!(response.status(), 200);
    let content_type = response.headers()["content-type"].to_str().expect("text");
    assert!(
        content_type.starts_with("text/event-stream"),
        "{content_type}"
    );

    assert_eq!(
        statuses_until(&mut response, Status::Pending).await,
        [Status::Pending.name()]
    );
    world.signal("saga", "CONT");
    assert_eq!(
        statuses_until(&mut response, Status::Rejected).await,
        [Status::Rejected.name()]
    );
    // A rejected order changes no more: the stream ends by itself.
    let rest = tokio::time::timeout(PIECE_WITHIN, response.text()).await;
    rest.expect("the stream ends").expect("it ends well");
}

async fn watching_needs_the_right_to_see_the_order(world: &World) {
    let sku = world.product("coffee", 1250, 10).await;
    let ada = world.customer("ada").await;
    let bob = world.customer("bob").await;
    let order = ada.place(an_order().line(&sku, 1)).await;
    let path = format!("/v1/orders/{}:watch", order.order_id);
    bob.rest.get(&path).await.expect(404).problem();
    world.anonymous().get(&path).await.expect(401).problem();
}

//! Whoever is out is out everywhere: at the gateway and at each service's port, and also where one has just started.

use kit::{
    World,
    rest::{Rest, send},
    shop::{Customer, PASSWORD},
    wait::until,
};
use reqwest::Method;
use serde_json::{Value, json};
use tonic::Code;

use crate::wire::{bearing, everywhere, services};

kit::stories!(an_ended_session_opens_no_door);

async fn log_in(world: &World, customer: &Customer) -> Value {
    let login = json!({"email": customer.email, "password": PASSWORD});
    let session = world.anonymous().post("/v1/sessions", &login).await;
    session.expect(201).json()
}

fn text(session: &Value, name: &str) -> String {
    session[name].as_str().expect("a text").to_owned()
}

/// How the gateway and every service take this token: their own words, and the code of each service.
async fn taken(world: &World, rest: &Rest) -> (String, Vec<(String, Code)>) {
    let answer = rest.get("/v1/orders").await;
    let said = match answer.status {
        200 => "welcome".to_owned(),
        _ => answer.problem()["reason"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
    };
    let codes = everywhere(&services(world), rest.token().expect("one")).await;
    (said, codes)
}

/// Waits until nobody takes this token any more.
async fn until_refused(world: &World, rest: &Rest) {
    until("the token is refused everywhere", || async {
        let (said, codes) = taken(world, rest).await;
        let refused = codes.iter().all(|(_, code)| *code == Code::Unauthenticated);
        (said == "TOKEN_REVOKED" && refused)
            .then_some(())
            .ok_or((said, codes))
    })
    .await;
}

/// A customer is known everywhere, and let in at the gateway.
async fn is_taken(world: &World, rest: &Rest) {
    let (said, codes) = taken(world, rest).await;
    assert_eq!(said, "welcome");
    let known = codes
        .iter()
        .all(|(_, code)| *code == Code::PermissionDenied);
    assert!(known, "{codes:?}");
}

async fn an_ended_session_opens_no_door(world: &World) {
    let ada = world.customer("ada").await;
    let (stays, leaves) = (log_in(world, &ada).await, log_in(world, &ada).await);
    let [stays_in, leaves_in] =
        [&stays, &leaves].map(|session| bearing(world, &text(session, "accessToken")));
    is_taken(world, &leaves_in).await;
    let path = format!("/v1/sessions/{}", text(&leaves, "sessionId"));
    let request = stays_in.request(Method::DELETE, &path);
    send(request).await.expect(204);
    until_refused(world, &leaves_in).await;
    is_taken(world, &stays_in).await;

    // Whoever starts now hears of what was revoked before.
    let pid = world.kill("ordering");
    world.restarted("ordering", pid).await;
    until_refused(world, &leaves_in).await;

    stays_in
        .post("/v1/sessions:endAll", &json!({}))
        .await
        .expect(200);
    until_refused(world, &stays_in).await;
}

//! Who may see and do what, through REST.

use kit::{
    Engine, Setup, World,
    rest::Answer,
    shop::{Status, an_order},
    wait::until,
};
use serde_json::{Value, json};

kit::stories!(
    a_token_is_needed_and_must_be_ours,
    anothers_order_reads_as_an_unknown_one,
    customers_have_no_admin_routes,
    rpcs_of_services_have_no_route,
);

const UNKNOWN_ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// What of a problem does not name the asked object.
fn kind(answer: &Answer, id: &str) -> Value {
    let mut problem = answer.problem();
    for field in ["instance", "requestId", "traceId", "request_id", "trace_id"] {
        problem.as_object_mut().expect("an object").remove(field);
    }
    serde_json::from_str(&problem.to_string().replace(id, "ID")).expect("still JSON")
}

async fn a_token_is_needed_and_must_be_ours(world: &World) {
    let sku = world.product("coffee", 1250, 10).await;
    let body = an_order().line(&sku, 1).body();
    let ada = world.customer("ada").await;
    let token = ada.rest.token().expect("logged in");
    let (head, signature) = token.rsplit_once('.').expect("a JWT");
    // The same token with its signature's first letter changed, and one signed by nobody.
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    let forged = format!("{head}.{first}{}", &signature[1..]);
    let unsigned = format!(
        "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.{}.",
        head.split_once('.').expect("a JWT").1
    );

    world
        .anonymous()
        .post("/v1/orders", &body)
        .await
        .expect(401)
        .problem();
    for bad in [
        forged.as_str(),
        unsigned.as_str(),
        "garbage",
        "a.b.c",
        "e30.e30.e30",
    ] {
        let client = world.anonymous().with_token(bad);
        let answer = client.post("/v1/orders", &body).await;
        assert_eq!(answer.status, 401, "{bad}: {}", answer.text);
        assert!(
            answer.header("www-authenticate").starts_with("Bearer"),
            "{:?}",
            answer.headers
        );
        answer.problem();
        client.get("/v1/accounts/me").await.expect(401).problem();
    }
    let orders = world
        .admin()
        .await
        .get("/v1/orders")
        .await
        .expect(200)
        .json();
    assert_eq!(orders["orders"], json!([]));
    // What is public stays public.
    world.anonymous().get("/v1/products").await.expect(200);
    world.stock(&sku).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_expired_token_is_refused() {
    let setup = Setup::on(Engine::Sqlite).variable("TOKEN_LIFETIME", "2s");
    let world = World::start_with(setup)
        .await
        .expect("SQLite is always there");
    let ada = world.customer("ada").await;
    ada.rest.get("/v1/accounts/me").await.expect(200);
    let answer = until("the token ends", || async {
        let answer = ada.rest.get("/v1/accounts/me").await;
        if answer.status == 200 {
            Err("still good")
        } else {
            Ok(answer)
        }
    })
    .await;
    answer.expect(401).problem();
    let body = an_order().line("coffee", 1).body();
    ada.rest
        .post("/v1/orders", &body)
        .await
        .expect(401)
        .problem();
}

async fn anothers_order_reads_as_an_unknown_one(world: &World) {
    let sku = world.product("coffee", 1250, 10).await;
    let ada = world.customer("ada").await;
    let bob = world.customer("bob").await;
    let order = ada.place(an_order().line(&sku, 1).wait(30)).await;
    assert_eq!(order.status, Status::Confirmed.name());

    for action in ["", ":watch"] {
        let hers = bob
            .rest
            .get(&format!("/v1/orders/{}{action}", order.order_id))
            .await
            .expect(404);
        let none = bob
            .rest
            .get(&format!("/v1/orders/{UNKNOWN_ID}{action}"))
            .await
            .expect(404);
        assert_eq!(kind(&hers, &order.order_id), kind(&none, UNKNOWN_ID));
    }
    let hers = bob.cancel(&order).await.expect(404);
    let path = format!("/v1/orders/{UNKNOWN_ID}:cancel");
    let none = bob.rest.post(&path, &json!({})).await.expect(404);
    assert_eq!(kind(&hers, &order.order_id), kind(&none, UNKNOWN_ID));
    assert_eq!(
        ada.order(&order.order_id).await.status,
        Status::Confirmed.name()
    );

    assert_eq!(bob.payments(&order).await, []);
    let payment = &ada.payments(&order).await[0];
    let hers = bob
        .rest
        .get(&format!("/v1/payments/{}", payment.payment_id))
        .await
        .expect(404);
    let none = bob
        .rest
        .get(&format!("/v1/payments/{UNKNOWN_ID}"))
        .await
        .expect(404);
    assert_eq!(kind(&hers, &payment.payment_id), kind(&none, UNKNOWN_ID));
    let list = bob.rest.get("/v1/orders").await.expect(200).json();
    assert_eq!(list["orders"], json!([]));

    // The shop's own people see it.
    let admin = world.admin().await;
    let seen = admin
        .get(&format!("/v1/orders/{}", order.order_id))
        .await
        .expect(200)
        .json();
    assert_eq!(seen["customerId"], ada.account_id);
}

async fn customers_have_no_admin_routes(world: &World) {
    let sku = world.product("coffee", 1250, 10).await;
    let ada = world.customer("ada").await;
    let product =
        json!({"sku": "mine", "name": "Mine", "price": {"currencyCode": "EUR", "minorUnits": "1"}});
    ada.rest
        .post("/v1/products", &product)
        .await
        .expect(403)
        .problem();
    let stock = format!("/v1/stock/{sku}");
    ada.rest
        .put(&stock, &json!({"onHand": "1000"}))
        .await
        .expect(403)
        .problem();
    world
        .anonymous()
        .put(&stock, &json!({"onHand": "1000"}))
        .await
        .expect(401)
        .problem();
    ada.rest.get("/v1/sagas").await.expect(403).problem();
    ada.rest
        .get(&format!("/v1/sagas/{UNKNOWN_ID}"))
        .await
        .expect(403)
        .problem();
    ada.rest
        .get(&format!("/v1/accounts/{}", ada.account_id))
        .await
        .expect(403)
        .problem();
    let path = format!("/v1/accounts/{}:deactivate", ada.account_id);
    ada.rest.post(&path, &json!({})).await.expect(403).problem();
    assert_eq!(world.stock(&sku).await.on_hand, 10);
    let me = ada.rest.get("/v1/accounts/me").await.expect(200).json();
    assert_eq!(
        (&me["email"], &me["state"]),
        (&json!(ada.email), &json!("ACCOUNT_STATE_ACTIVE"))
    );
    assert_eq!(me["roles"], json!(["customer"]));
}

async fn rpcs_of_services_have_no_route(world: &World) {
    let admin = world.admin().await;
    for path in [
        "/caravan.ordering.v1.OrderingService/ConfirmOrder",
        "/v1/orders/01890a5d-ac96-774b-bcce-b302099a8057:confirm",
        "/v1/reservations",
    ] {
        let answer = admin.post(path, &json!({"orderId": UNKNOWN_ID})).await;
        assert!(
            matches!(answer.status, 404 | 405 | 415),
            "{path}: {} {}",
            answer.status,
            answer.text
        );
    }
    // A known path with another verb says which verbs there are.
    let answer = admin.put("/v1/orders", &json!({})).await.expect(405);
    let mut allowed: Vec<_> = answer.header("allow").split(',').map(str::trim).collect();
    allowed.sort_unstable();
    assert!(
        allowed.contains(&"GET") && allowed.contains(&"POST"),
        "{allowed:?}"
    );
    answer.problem();
    world
        .anonymous()
        .get("/v1/nothing")
        .await
        .expect(404)
        .problem();
}

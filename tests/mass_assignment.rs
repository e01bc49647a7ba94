//! Whatever a client sends beside what is asked for: nobody makes themselves more, or things cheaper, by it.

use kit::{World, rest, shop::an_order};
use reqwest::Method;
use serde_json::{Value, json};

kit::stories!(what_is_not_the_callers_to_set_is_refused_by_name);

const UNKNOWN_ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// The body with one more field; `lines[0].price` is set in the first line.
fn with(body: &Value, field: &str, value: &Value) -> Value {
    let mut body = body.clone();
    match field.strip_prefix("lines[0].") {
        Some(field) => body["lines"][0][field] = value.clone(),
        None => body[field] = value.clone(),
    }
    body
}

async fn what_is_not_the_callers_to_set_is_refused_by_name(world: &World) {
    let sku = world.product("coffee", 1250, 10).await;
    let ada = world.customer("ada").await;
    let admin = world.admin().await;
    let anybody = world.anonymous();
    let person = json!({
        "email": "eve@example.org", "password": "correct horse 1", "displayName": "Eve"
    });
    let login = json!({"email": "eve@example.org", "password": "correct horse 1"});
    let order = an_order().line(&sku, 1).body();
    let product = json!({
        "sku": "tea", "name": "Tea", "price": {"currencyCode": "EUR", "minorUnits": "300"}
    });
    let money = json!({"currencyCode": "EUR", "minorUnits": "1"});
    let known = admin
        .get(&format!("/v1/products:batchGet?skus={sku}"))
        .await;
    let known = known.expect(200).json()["products"][0]["productId"].clone();
    let known = format!("/v1/products/{}", known.as_str().expect("an id"));
    let (post, patch) = (Method::POST, Method::PATCH);
    for (client, method, path, body, field, value) in [
        (
            anybody,
            &post,
            "/v1/accounts",
            &person,
            "roles",
            json!(["admin"]),
        ),
        (
            anybody,
            &post,
            "/v1/accounts",
            &person,
            "accountId",
            json!(UNKNOWN_ID),
        ),
        (
            anybody,
            &post,
            "/v1/accounts",
            &person,
            "emailVerified",
            json!(true),
        ),
        (anybody, &post, "/v1/accounts", &person, "state", json!(1)),
        (
            anybody,
            &post,
            "/v1/sessions",
            &login,
            "accountId",
            json!(UNKNOWN_ID),
        ),
        (
            anybody,
            &post,
            "/v1/sessions",
            &login,
            "roles",
            json!(["admin"]),
        ),
        (
            &ada.rest,
            &post,
            "/v1/orders",
            &order,
            "customerId",
            json!(UNKNOWN_ID),
        ),
        (
            &ada.rest,
            &post,
            "/v1/orders",
            &order,
            "customerName",
            json!("Bob"),
        ),
        (
            &ada.rest,
            &post,
            "/v1/orders",
            &order,
            "orderId",
            json!(UNKNOWN_ID),
        ),
        (&ada.rest, &post, "/v1/orders", &order, "status", json!(3)),
        (
            &ada.rest,
            &post,
            "/v1/orders",
            &order,
            "total",
            money.clone(),
        ),
        (
            &ada.rest,
            &post,
            "/v1/orders",
            &order,
            "lines[0].unitPrice",
            money.clone(),
        ),
        (
            &ada.rest,
            &post,
            "/v1/orders",
            &order,
            "lines[0].price",
            money.clone(),
        ),
        (
            &ada.rest,
            &patch,
            "/v1/accounts/me",
            &json!({}),
            "roles",
            json!(["admin"]),
        ),
        (
            &ada.rest,
            &patch,
            "/v1/accounts/me",
            &json!({}),
            "email",
            json!("bob@example.org"),
        ),
        (
            &ada.rest,
            &patch,
            "/v1/accounts/me",
            &json!({}),
            "accountId",
            json!(UNKNOWN_ID),
        ),
        (
            &ada.rest,
            &patch,
            "/v1/accounts/me",
            &json!({}),
            "emailVerified",
            json!(true),
        ),
        (
            &ada.rest,
            &patch,
            "/v1/accounts/me",
            &json!({}),
            "state",
            json!(1),
        ),
        (
            admin,
            &post,
            "/v1/products",
            &product,
            "productId",
            json!(UNKNOWN_ID),
        ),
        (admin, &post, "/v1/products", &product, "state", json!(1)),
        (admin, &patch, &*known, &json!({}), "sku", json!("other")),
        (admin, &patch, &*known, &json!({}), "state", json!(2)),
    ] {
        let request = client
            .request(method.clone(), path)
            .header("idempotency-key", field)
            .json(&with(body, field, &value));
        let answer = rest::send(request).await;
        assert_eq!(answer.status, 400, "{path} {field}: {}", answer.text);
        assert!(answer.problem()["status"] == 400, "{}", answer.text);
    }
    // What comes by the query counts as little.
    for (path, body) in [
        ("/v1/accounts?roles=admin", &person),
        (
            "/v1/orders?customerId=01890a5d-ac96-774b-bcce-b302099a8057",
            &order,
        ),
    ] {
        let request = ada
            .rest
            .request(Method::POST, path)
            .header("idempotency-key", "query")
            .json(body);
        let answer = rest::send(request).await;
        assert_eq!(answer.status, 400, "{path}: {}", answer.text);
    }
    anybody.post("/v1/sessions", &login).await.expect(401);
    let me = ada.rest.get("/v1/accounts/me").await.expect(200).json();
    assert_eq!(me["roles"], json!(["customer"]));
    let orders = ada.rest.get("/v1/orders").await.expect(200).json();
    let none = orders["orders"].as_array().is_none_or(Vec::is_empty);
    assert!(none, "{orders}");
}

//! What those who work for the shop do in any service is found in one place, with who did it.

use kit::{
    World,
    mesh::caravan,
    rest::Rest,
    shop::{Status, an_order},
    wait::until,
};
use serde_json::{Value, json};

kit::stories!(
    what_is_done_anywhere_is_found_in_one_place,
    customers_do_not_fill_it_and_do_not_read_it,
);

/// The entries that this query finds, newest first, once there are so many.
async fn entries(world: &World, query: &str, count: usize) -> Vec<Value> {
    let admin = world.admin().await;
    let path = format!("/v1/audit-entries?pageSize=100&{query}");
    until(&format!("{count} x {query}"), || async {
        let page = admin.get(&path).await.expect(200).json();
        let found = page["entries"].as_array().cloned().unwrap_or_default();
        if found.len() >= count {
            Ok(found)
        } else {
            Err(found)
        }
    })
    .await
}

/// Somebody new with this role; logged in.
async fn staff(world: &World, role: &str) -> (Rest, String) {
    let person = json!({
        "email": format!("{role}@example.org"), "password": "correct horse 1", "displayName": role
    });
    let account = world.anonymous().post("/v1/accounts", &person).await;
    let account = account.expect(201).json();
    let id = account["accountId"].as_str().expect("an id").to_owned();
    let roles = json!({"roles": ["customer", role]});
    let admin = world.admin().await;
    admin
        .put(&format!("/v1/accounts/{id}/roles"), &roles)
        .await
        .expect(200);
    let login = json!({"email": person["email"], "password": person["password"]});
    let session = world.anonymous().post("/v1/sessions", &login).await;
    let session = session.expect(201).json();
    let token = session["accessToken"].as_str().expect("a token");
    (world.anonymous().with_token(token), id)
}

async fn what_is_done_anywhere_is_found_in_one_place(world: &World) {
    let sku = world.product("coffee", 1250, 10).await;
    let ada = world.customer("ada").await;
    let order = ada.place(an_order().line(&sku, 1)).await;
    ada.until(&order, Status::Confirmed).await;
    let (support, support_id) = staff(world, "support").await;
    let order_id = &order.order_id;
    let path = format!("/v1/orders/{order_id}:cancel");
    let why = json!({"reason": "she called, card 4111 1111 1111 1111"});
    support.post(&path, &why).await.expect(200);

    let made = entries(world, &format!("target={sku}"), 1).await;
    assert_eq!(made[0]["service"], "inventory", "{made:?}");
    assert_eq!(made[0]["action"], "STOCK_SET");
    assert_eq!(made[0]["detail"], "on_hand=10");
    let made = entries(world, "service=catalog&action=PRODUCT_CREATED", 1).await;
    let detail = made[0]["detail"].as_str().unwrap_or_default();
    assert!(detail.starts_with(&format!("sku={sku} price=")), "{detail}");
    let cancelled = entries(world, &format!("target={order_id}"), 1).await;
    assert_eq!(cancelled.len(), 1, "Ada's own order was not recorded");
    assert_eq!(cancelled[0]["actor"], format!("user:{support_id}"));
    assert_eq!(cancelled[0]["action"], "ORDER_CANCELLED");
    assert_eq!(
        cancelled[0]["detail"], "reason=she called, card [removed]",
        "what looks like a secret is not kept"
    );
    let roles = entries(world, &format!("action=ROLES_SET&target={support_id}"), 1).await;
    assert_eq!(roles[0]["detail"], "customer,support");

    let output = caravan()
        .arg("--home")
        .arg(world.mesh_home())
        .args(["audit", "--json", "--since", "1h", "--who", &support_id])
        .args(["--whom", order_id])
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), 1, "{output:?}");
    assert_eq!(lines[0]["entryId"], cancelled[0]["entryId"]);
}

async fn customers_do_not_fill_it_and_do_not_read_it(world: &World) {
    let sku = world.product("tea", 300, 10).await;
    let ada = world.customer("ada").await;
    let order = ada.place(an_order().line(&sku, 1)).await;
    ada.cancel(&order).await.expect(200);
    let refused = ada.rest.get("/v1/audit-entries").await;
    refused.expect(403).problem();
    // Comes behind it, in the same service.
    let other = ada.place(an_order().line(&sku, 1)).await;
    let (support, _) = staff(world, "support").await;
    let path = format!("/v1/orders/{}:cancel", other.order_id);
    support.post(&path, &json!({})).await.expect(200);
    let recorded = entries(world, "service=ordering", 1).await;
    assert_eq!(recorded.len(), 1, "{recorded:?}");
    assert_eq!(recorded[0]["target"], json!(other.order_id));
}

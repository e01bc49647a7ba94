//! A customer's account through REST: verified by mail, kept open by refreshing, changed, and closed for good.

use kit::{
    World,
    mesh::caravan,
    rest::{Answer, Rest},
    shop::PASSWORD,
    wait::until,
};
use serde_json::{Value, json};

kit::stories!(
    a_forgotten_password_is_set_by_mail,
    a_session_goes_on_until_it_is_ended,
    a_closed_account_is_forgotten,
);

const EMAIL: &str = "grace@example.org";

async fn register(world: &World) {
    let account = json!({"email": EMAIL, "password": PASSWORD, "displayName": "Grace"});
    world
        .anonymous()
        .post("/v1/accounts", &account)
        .await
        .expect(201);
}

async fn log_in(world: &World, password: &str) -> Answer {
    let login = json!({"email": EMAIL, "password": password, "client": "a story"});
    world.anonymous().post("/v1/sessions", &login).await
}

fn signed_in(world: &World, session: &Value) -> Rest {
    let token = session["accessToken"].as_str().expect("a token");
    world.anonymous().with_token(token)
}

/// The token of the newest mail of this kind, as `caravan mails` shows it.
fn mailed(world: &World, kind: &str) -> String {
    let output = caravan()
        .arg("--home")
        .arg(world.mesh_home())
        .args(["mails", "--json"])
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let mails = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    let ours = |mail: &Value| mail["to"] == EMAIL && mail["kind"] == kind;
    let mail = mails.rev().find(ours);
    let mail = mail.unwrap_or_else(|| panic!("no {kind} in {text}"));
    mail["token"].as_str().expect("a token").to_owned()
}

async fn a_forgotten_password_is_set_by_mail(world: &World) {
    register(world).await;
    let token = mailed(world, "MAIL_KIND_EMAIL_VERIFICATION");
    let anybody = world.anonymous();
    let verify = json!({"token": token});
    let account = anybody.post("/v1/accounts:verifyEmail", &verify).await;
    assert_eq!(account.expect(200).json()["emailVerified"], true);

    let ask = json!({"email": EMAIL});
    anybody.post("/v1/passwordResets", &ask).await.expect(202);
    let token = mailed(world, "MAIL_KIND_PASSWORD_RESET");
    let new = "another horse 7";
    let reset = json!({"token": token, "newPassword": new});
    let confirm = "/v1/passwordResets:confirm";
    anybody.post(confirm, &reset).await.expect(204);
    anybody.post(confirm, &reset).await.expect(400).problem();
    log_in(world, PASSWORD).await.expect(401).problem();
    log_in(world, new).await.expect(201);
}

async fn a_session_goes_on_until_it_is_ended(world: &World) {
    register(world).await;
    let first = log_in(world, PASSWORD).await.expect(201).json();
    let refresh = |session: &Value| {
        let body = json!({"refreshToken": session["refreshToken"]});
        async move { world.anonymous().post("/v1/sessions:refresh", &body).await }
    };
    let second = refresh(&first).await.expect(200).json();
    assert_ne!(second["refreshToken"], first["refreshToken"]);
    let me = signed_in(world, &second);
    let account = me.get("/v1/accounts/me").await.expect(200).json();
    assert_eq!(account["email"], EMAIL);
    let sessions = me.get("/v1/sessions").await.expect(200).json();
    let listed = sessions["sessions"].as_array().expect("a list");
    assert_eq!(listed.len(), 1, "{sessions}");
    assert_eq!(listed[0]["client"], "a story");

    let changed = me
        .request(reqwest::Method::PATCH, "/v1/accounts/me")
        .json(&json!({"displayName": "Admiral"}));
    let changed = kit::rest::send(changed).await.expect(200).json();
    assert_eq!(changed["displayName"], "Admiral");
    let roles = me
        .request(reqwest::Method::PATCH, "/v1/accounts/me")
        .json(&json!({"roles": ["admin"]}));
    kit::rest::send(roles).await.expect(400).problem();

    let end = json!({"refreshToken": second["refreshToken"]});
    let ended = world.anonymous().post("/v1/sessions:end", &end).await;
    ended.expect(204);
    refresh(&second).await.expect(401).problem();
}

async fn a_closed_account_is_forgotten(world: &World) {
    register(world).await;
    let session = log_in(world, PASSWORD).await.expect(201).json();
    let me = signed_in(world, &session);
    let sku = world.product("coffee", 1250, 10).await;
    let order = json!({
        "lines": [{"sku": sku, "quantity": 1}], "paymentMethod": kit::shop::GOOD_CARD
    });
    let placed = me
        .request(reqwest::Method::POST, "/v1/orders")
        .header("idempotency-key", "1")
        .header("prefer", "wait=30")
        .json(&order);
    let order = kit::rest::send(placed).await.expect(201).json();
    assert_eq!(order["customerName"], "Grace");

    let close = |password: &str| json!({"password": password});
    let path = "/v1/accounts/me:close";
    me.post(path, &close("a guess")).await.expect(401).problem();
    me.post(path, &close(PASSWORD)).await.expect(204);
    log_in(world, PASSWORD).await.expect(401).problem();
    let admin = world.admin().await;
    let order = format!("/v1/orders/{}", order["orderId"].as_str().expect("an id"));
    until("the order has no name", || async {
        let order = admin.get(&order).await.expect(200).json();
        match order["customerName"].as_str().unwrap_or_default() {
            "" => Ok(()),
            name => Err(name.to_owned()),
        }
    })
    .await;
}

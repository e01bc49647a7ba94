//! A service client's way through the gateway: made by an admin, it gets tokens as RFC 6749 says and uses what its scopes allow.

use kit::{
    World,
    rest::{Answer, send},
    shop::an_order,
};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

kit::stories!(
    a_client_reads_orders_and_nothing_else,
    the_command_line_makes_clients_and_rotates_keys,
);

fn form(world: &World, path: &str, pairs: &[(&str, &str)]) -> RequestBuilder {
    world.anonymous().request(Method::POST, path).form(pairs)
}

/// An error of RFC 6749, section 5.2.
#[track_caller]
fn refused(answer: Answer, status: u16, error: &str) {
    let answer = answer.expect(status);
    assert_eq!(answer.json()["error"], error, "{}", answer.text);
    assert!(answer.json()["error_description"].is_string());
    is_not_kept(&answer);
    if status == 401 {
        assert!(answer.header("www-authenticate").starts_with("Basic"));
    }
}

#[track_caller]
fn is_not_kept(answer: &Answer) {
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("content-type"), "application/json");
}

const GRANT: (&str, &str) = ("grant_type", "client_credentials");

async fn a_client_reads_orders_and_nothing_else(world: &World) {
    let sku = world.product("coffee", 1250, 10).await;
    let ada = world.customer("ada").await;
    let order = ada.place(an_order().line(&sku, 1).wait(30)).await;
    let wanted = json!({"clientId": "erp", "scopes": ["orders:read", "tokens:introspect"]});
    ada.rest.post("/v1/clients", &wanted).await.expect(403);
    let made = world.admin().await.post("/v1/clients", &wanted).await;
    let secret = made.expect(201).json()["clientSecret"]
        .as_str()
        .expect("a text")
        .to_owned();

    // The token, by both ways to show the secret; parameters that nobody knows are stepped over.
    let by_form = [
        GRANT,
        ("client_id", "erp"),
        ("client_secret", &secret),
        ("audience", "x"),
    ];
    let answer = send(form(world, "/oauth2/token", &by_form))
        .await
        .expect(200);
    is_not_kept(&answer);
    let issued = answer.json();
    assert_eq!(issued["token_type"], "Bearer");
    assert_eq!(issued["scope"], "orders:read tokens:introspect");
    assert!(
        issued["expires_in"].as_i64().is_some_and(|left| left > 0),
        "{issued}"
    );
    let by_header = form(world, "/oauth2/token", &[GRANT, ("scope", "orders:read")]);
    let issued = send(by_header.basic_auth("erp", Some(&secret)))
        .await
        .expect(200)
        .json();
    assert_eq!(issued["scope"], "orders:read");
    let token = issued["access_token"].as_str().expect("a text");

    let erp = world.anonymous().with_token(token);
    let seen = erp
        .get(&format!("/v1/orders/{}", order.order_id))
        .await
        .expect(200);
    assert_eq!(seen.json()["customerId"], ada.account_id);
    let list = erp.get("/v1/orders").await.expect(200).json();
    assert_eq!(list["orders"].as_array().map(Vec::len), Some(1));
    for path in [
        "/v1/payments",
        "/v1/accounts/me",
        "/v1/sagas",
        "/v1/clients",
    ] {
        erp.get(path).await.expect(403).problem();
    }
    erp.post("/v1/orders", &an_order().line(&sku, 1).body())
        .await
        .expect(403)
        .problem();
    erp.get("/v1/products").await.expect(200);

    errors_are_those_of_the_standard(world, &secret).await;
    tokens_are_told_about_and_revoked(world, &secret, token).await;
    the_endpoints_are_published(world).await;
}

async fn errors_are_those_of_the_standard(world: &World, secret: &str) {
    let id = ("client_id", "erp");
    let good = ("client_secret", secret);
    for (pairs, status, error) in [
        (vec![], 400, "invalid_request"),
        (vec![id, good], 400, "invalid_request"),
        (
            vec![("grant_type", "password"), id, good],
            400,
            "unsupported_grant_type",
        ),
        (vec![GRANT, GRANT, id, good], 400, "invalid_request"),
        (
            vec![GRANT, id, ("client_secret", "wrong")],
            401,
            "invalid_client",
        ),
        (vec![GRANT], 401, "invalid_client"),
        (
            vec![GRANT, id, good, ("scope", "stock:write")],
            400,
            "invalid_scope",
        ),
    ] {
        refused(
            send(form(world, "/oauth2/token", &pairs)).await,
            status,
            error,
        );
    }
    let json =
        json!({"grant_type": "client_credentials", "client_id": "erp", "client_secret": secret});
    refused(
        world.anonymous().post("/oauth2/token", &json).await,
        400,
        "invalid_request",
    );
    let in_url = form(
        world,
        &format!("/oauth2/token?client_secret={secret}"),
        &[GRANT, id],
    );
    refused(send(in_url).await, 400, "invalid_request");
    for path in ["/oauth2/introspect", "/oauth2/revoke"] {
        refused(
            send(form(world, path, &[("token", "x")])).await,
            401,
            "invalid_client",
        );
        refused(
            send(form(world, path, &[id, good])).await,
            400,
            "invalid_request",
        );
    }
}

async fn tokens_are_told_about_and_revoked(world: &World, secret: &str, token: &str) {
    let ask = async |path: &str, token: &str| {
        let request = form(world, path, &[("token", token)]);
        let answer = send(request.basic_auth("erp", Some(secret))).await;
        is_not_kept(&answer);
        answer
    };
    let told = ask("/oauth2/introspect", token).await.expect(200).json();
    assert_eq!(told["active"], true);
    assert_eq!(
        (&told["client_id"], &told["sub"]),
        (&json!("erp"), &json!("erp"))
    );
    assert!(told["exp"].is_u64() && told["roles"] == json!([]), "{told}");
    let bob = world.customer("bob").await;
    let his = bob.rest.token().expect("logged in");
    let told = ask("/oauth2/introspect", his).await.expect(200).json();
    assert_eq!(
        (&told["sub"], &told["kind"]),
        (&json!(bob.account_id), &json!("user"))
    );

    refused(ask("/oauth2/revoke", his).await, 400, "unauthorized_client");
    ask("/oauth2/revoke", token).await.expect(200);
    ask("/oauth2/revoke", "unknown").await.expect(200);
    let told = ask("/oauth2/introspect", token).await.expect(200).json();
    assert_eq!(told["active"], false);
    assert_eq!(told.get("sub"), None, "{told}");
}

async fn the_endpoints_are_published(world: &World) {
    let anybody = world.anonymous();
    for path in [
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server",
    ] {
        let metadata = anybody.get(path).await.expect(200).json();
        assert_eq!(metadata["issuer"], "caravan");
        assert_eq!(
            metadata["grant_types_supported"],
            json!(["client_credentials"])
        );
        assert_eq!(metadata["response_types_supported"], json!([]));
        let base = world.status().gateway_url.expect("it is up");
        for (name, path) in [
            ("token_endpoint", "/oauth2/token"),
            ("introspection_endpoint", "/oauth2/introspect"),
            ("revocation_endpoint", "/oauth2/revoke"),
            ("jwks_uri", "/.well-known/jwks.json"),
        ] {
            assert_eq!(metadata[name], format!("{base}{path}"));
        }
    }
    let keys = anybody
        .get("/.well-known/jwks.json")
        .await
        .expect(200)
        .json();
    assert_eq!(keys["keys"][0]["alg"], "ES256");
}

async fn the_command_line_makes_clients_and_rotates_keys(world: &World) {
    let caravan = async |arguments: &[&str]| {
        let mut command = kit::mesh::caravan();
        command.args(arguments).arg("--home").arg(world.mesh_home());
        let output = tokio::task::spawn_blocking(move || command.output()).await;
        let output = output.expect("no panic").expect("the binary is there");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            text(&output.stderr)
        );
        text(&output.stdout)
    };
    let secret = caravan(&[
        "client",
        "create",
        "erp",
        "--scope",
        "orders:read,stock:write",
    ])
    .await;
    let pairs = [GRANT, ("client_id", "erp"), ("client_secret", &secret)];
    send(form(world, "/oauth2/token", &pairs)).await.expect(200);
    let next = caravan(&["client", "rotate-secret", "erp"]).await;
    assert_ne!(next, secret);
    refused(
        send(form(world, "/oauth2/token", &pairs)).await,
        401,
        "invalid_client",
    );
    caravan(&["client", "disable", "erp"]).await;
    let list = caravan(&["client", "list"]).await;
    assert_eq!(list, "erp  disabled  orders:read,stock:write");

    let before = caravan(&["keys", "list"]).await;
    assert_eq!(before.lines().count(), 1, "{before}");
    let after = caravan(&["keys", "rotate", "--reason", "a drill", "--json"]).await;
    let after: Value = serde_json::from_str(&after).expect("JSON");
    assert_eq!(after["signingKeys"].as_array().map(Vec::len), Some(2));
    let entry = kit::wait::until("the audit log tells", || async {
        let path = "/v1/audit-entries?action=SIGNING_KEYS_ROTATED";
        let found = world.admin().await.get(path).await.expect(200).json();
        found["entries"].get(0).cloned().ok_or(found)
    });
    assert!(entry.await["detail"].to_string().contains("a drill"));
}

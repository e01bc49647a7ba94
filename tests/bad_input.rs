//! Whatever is malformed is a 4xx that names the place, never a 500, and stores nothing.

use kit::{
    World,
    rest::{Answer, send},
    shop::{Customer, GOOD_CARD, Status, an_order},
};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

kit::stories!(
    malformed_orders_are_refused_and_store_nothing,
    what_only_the_shop_decides_is_no_input,
    bad_paths_and_queries_are_refused,
    bad_accounts_products_and_stock_are_refused,
);

/// A body and the place that the answer must name.
struct Case {
    body: String,
    names: &'static str,
}

fn case(body: &Value, names: &'static str) -> Case {
    Case {
        body: body.to_string(),
        names,
    }
}

fn text(body: &str, names: &'static str) -> Case {
    Case {
        body: body.to_owned(),
        names,
    }
}

#[track_caller]
fn refused(answer: &Answer, names: &str, what: &str) {
    assert!(
        (400..500).contains(&answer.status) && answer.status != 401 && answer.status != 403,
        "{what}: {} {}",
        answer.status,
        answer.text
    );
    let problem = answer.problem();
    assert!(
        answer.text.contains(names),
        "{what} should name {names}: {problem}"
    );
}

fn bad_orders(sku: &str) -> Vec<Case> {
    let line = json!({"sku": sku, "quantity": 1});
    let order = |lines: Value| json!({"lines": lines, "paymentMethod": GOOD_CARD});
    let quantity = |quantity: Value| order(json!([{"sku": sku, "quantity": quantity}]));
    let many: Vec<_> = (0..101)
        .map(|number| json!({"sku": format!("s{number}"), "quantity": 1}))
        .collect();
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    vec![
        text("", ""),
        text("{", ""),
        text("not json", ""),
        text("[]", ""),
        text("null", ""),
        text("\"lines\"", ""),
        text(r#"{"lines": [}"#, ""),
        text(r#"{"lines": [], "lines": []}"#, "lines"),
        text(&format!(r#"{{"lines": {deep}}}"#), "lines"),
        case(&json!({}), "lines"),
        case(&order(json!([])), "lines"),
        case(&order(json!("coffee")), "lines"),
        case(&order(json!({"sku": sku})), "lines"),
        case(&order(json!([7])), "lines[0]"),
        case(&order(json!([null])), "lines[0]"),
        case(&order(json!([line, line])), "lines[1].sku"),
        case(&order(json!(many)), "lines"),
        case(&order(json!([{"quantity": 1}])), "lines[0].sku"),
        case(&order(json!([{"sku": "", "quantity": 1}])), "lines[0].sku"),
        case(&order(json!([{"sku": 5, "quantity": 1}])), "lines[0].sku"),
        case(
            &order(json!([{"sku": "s".repeat(65), "quantity": 1}])),
            "lines[0].sku",
        ),
        case(&order(json!([{"sku": sku}])), "lines[0].quantity"),
        case(
            &order(json!([{"sku": sku, "quantity": 1, "colour": "red"}])),
            "colour",
        ),
        case(&quantity(json!(0)), "lines[0].quantity"),
        case(&quantity(json!(-1)), "lines[0].quantity"),
        case(&quantity(json!(1001)), "lines[0].quantity"),
        case(&quantity(json!(1.5)), "lines[0].quantity"),
        case(&quantity(json!("many")), "lines[0].quantity"),
        case(&quantity(json!(true)), "lines[0].quantity"),
        case(&quantity(json!([1])), "lines[0].quantity"),
        case(&quantity(json!(4_294_967_297_i64)), "lines[0].quantity"),
        case(
            &quantity(json!("99999999999999999999")),
            "lines[0].quantity",
        ),
        text(
            &format!(
                r#"{{"lines":[{{"sku":"{sku}","quantity":1e400}}],"paymentMethod":"{GOOD_CARD}"}}"#
            ),
            "lines[0].quantity",
        ),
        case(&json!({"lines": [line]}), "paymentMethod"),
        case(
            &json!({"lines": [line], "paymentMethod": ""}),
            "paymentMethod",
        ),
        case(
            &json!({"lines": [line], "paymentMethod": 7}),
            "paymentMethod",
        ),
        case(
            &json!({"lines": [line], "paymentMethod": "p".repeat(101)}),
            "paymentMethod",
        ),
        case(
            &json!({"lines": [line], "paymentMethod": GOOD_CARD, "coupon": "FREE"}),
            "coupon",
        ),
    ]
}

async fn malformed_orders_are_refused_and_store_nothing(world: &World) {
    let sku = world.product("coffee", 1250, 10).await;
    let ada = world.customer("ada").await;

    for Case { body, names } in bad_orders(&sku) {
        let request = ada.rest.request(Method::POST, "/v1/orders");
        let request = request
            .header("content-type", "application/json")
            .body(body.clone());
        refused(&send(request).await, names, &body);
    }
    assert_eq!(
        announced(world, &ada, 8 << 20).await,
        "HTTP/1.1 413 Payload Too Large"
    );
    let request = ada.rest.request(Method::POST, "/v1/orders");
    let request = request.header("content-type", "application/json");
    refused(
        &send(request.body(vec![0xff, 0xfe, 0x7b])).await,
        "",
        "no UTF-8",
    );

    let list = ada.rest.get("/v1/orders").await.expect(200).json();
    assert_eq!(list["orders"], json!([]));
    world.until_stock(&sku, 10, 0).await;
    assert_eq!(world.ledger().await.entries, []);
}

/// The first line of the answer to a customer's order that announces this many bytes and sends none of them.
async fn announced(world: &World, customer: &Customer, bytes: u64) -> String {
    let address = world
        .process("gateway")
        .http
        .expect("the gateway speaks HTTP");
    let stream = TcpStream::connect(&address).await.expect("it listens");
    let mut stream = BufReader::new(stream);
    let token = customer.rest.token().expect("logged in");
    let head = format!(
        "POST /v1/orders HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {bytes}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("it reads");
    let mut line = String::new();
    stream.read_line(&mut line).await.expect("it answers");
    line.trim().to_owned()
}

async fn what_only_the_shop_decides_is_no_input(world: &World) {
    let sku = world.product("coffee", 1250, 10).await;
    let ada = world.customer("ada").await;
    let cheap = json!({"currencyCode": "EUR", "minorUnits": "1"});
    for (field, value) in [
        ("total", cheap.clone()),
        ("price", cheap.clone()),
        ("status", json!("ORDER_STATUS_CONFIRMED")),
        ("customerId", json!("01890a5d-ac96-774b-bcce-b302099a8057")),
        ("orderId", json!("01890a5d-ac96-774b-bcce-b302099a8057")),
    ] {
        let mut body = an_order().line(&sku, 1).body();
        body[field] = value;
        refused(&ada.rest.post("/v1/orders", &body).await, field, field);
    }
    let mut body = an_order().line(&sku, 1).body();
    body["lines"][0]["unitPrice"] = cheap;
    refused(
        &ada.rest.post("/v1/orders", &body).await,
        "unitPrice",
        "unitPrice",
    );

    let order = ada.place(an_order().line(&sku, 1).wait(30)).await;
    assert_eq!(order.status, Status::Confirmed.name());
    assert_eq!(order.total.expect("a total").minor_units, 1250);
    world.until_stock(&sku, 9, 0).await;

    let account = json!({"email": "eve@example.com", "password": "long enough it is", "displayName": "Eve", "roles": ["admin"]});
    refused(
        &world.anonymous().post("/v1/accounts", &account).await,
        "roles",
        "roles",
    );
}

async fn bad_paths_and_queries_are_refused(world: &World) {
    let ada = world.customer("ada").await;
    for (path, names) in [
        ("/v1/orders/7", "orderId"),
        ("/v1/orders/not-a-uuid", "orderId"),
        ("/v1/orders/%ff", ""),
        ("/v1/orders/%zz", ""),
        ("/v1/orders?pageSize=-1", "pageSize"),
        ("/v1/orders?pageSize=101", "pageSize"),
        ("/v1/orders?pageSize=ten", "pageSize"),
        ("/v1/orders?pageSize=1&pageSize=2", "pageSize"),
        ("/v1/orders?pageToken=garbage", "pageToken"),
        ("/v1/orders?colour=red", "colour"),
        ("/v1/payments?orderId=7", "orderId"),
        ("/v1/products/7", "productId"),
        ("/v1/products?pageToken=garbage", "pageToken"),
        ("/v1/products:batchGet", "skus"),
    ] {
        refused(&ada.rest.get(path).await, names, path);
    }
    let unknown = "/v1/orders/01890a5d-ac96-774b-bcce-b302099a8057";
    ada.rest.get(unknown).await.expect(404).problem();
    ada.rest
        .get("/v1/stock/no-such-thing")
        .await
        .expect(404)
        .problem();
    let path = format!("{unknown}:cancel");
    refused(
        &ada.rest.post(&path, &json!({"orderId": "other"})).await,
        "orderId",
        "twice",
    );
}

async fn bad_accounts_products_and_stock_are_refused(world: &World) {
    let price = |minor: Value| json!({"currencyCode": "EUR", "minorUnits": minor});
    let product = |price: Value| json!({"sku": "new", "name": "New", "price": price});
    let account = |email: &str, password: &str, name: &str| json!({"email": email, "password": password, "displayName": name});
    let admin = world.admin().await;
    let long = "long enough it is";
    for (path, body, names) in [
        ("/v1/accounts", account("nobody", long, "N"), "email"),
        ("/v1/accounts", account("", long, "N"), "email"),
        (
            "/v1/accounts",
            account("n@example.com", "short", "N"),
            "password",
        ),
        (
            "/v1/accounts",
            account("n@example.com", &"p".repeat(129), "N"),
            "password",
        ),
        (
            "/v1/accounts",
            account("n@example.com", long, ""),
            "displayName",
        ),
        (
            "/v1/sessions",
            json!({"email": "", "password": long}),
            "email",
        ),
        ("/v1/products", product(price(json!("0"))), "price"),
        ("/v1/products", product(price(json!("-5"))), "price"),
        ("/v1/products", product(price(json!("100000001"))), "price"),
        (
            "/v1/products",
            product(price(json!(1.5))),
            "price.minorUnits",
        ),
        (
            "/v1/products",
            product(price(json!("9223372036854775808"))),
            "price.minorUnits",
        ),
        (
            "/v1/products",
            product(json!({"currencyCode": "euro", "minorUnits": "1"})),
            "price.currencyCode",
        ),
        (
            "/v1/products",
            json!({"sku": "new", "name": "New"}),
            "price",
        ),
        (
            "/v1/products",
            json!({"sku": "a b", "name": "New", "price": price(json!("1"))}),
            "sku",
        ),
        (
            "/v1/products",
            json!({"sku": "new", "name": "", "price": price(json!("1"))}),
            "name",
        ),
    ] {
        refused(
            &admin.post(path, &body).await,
            names,
            &format!("{path} {body}"),
        );
    }
    for (on_hand, names) in [
        (json!("-1"), "onHand"),
        (json!("1000000001"), "onHand"),
        (json!("some"), "onHand"),
        (json!(0.5), "onHand"),
    ] {
        let answer = admin
            .put("/v1/stock/new", &json!({"onHand": on_hand}))
            .await;
        refused(&answer, names, &on_hand.to_string());
    }
    admin.get("/v1/stock/new").await.expect(404).problem();
    let products = admin.get("/v1/products").await.expect(200).json();
    assert_eq!(products["products"], json!([]));

    // A wrong password and an unknown address read the same.
    let ada = world.customer("ada").await;
    let login = |email: &str| json!({"email": email, "password": "wrong password"});
    let known = world
        .anonymous()
        .post("/v1/sessions", &login(&ada.email))
        .await
        .expect(401);
    let unknown = world
        .anonymous()
        .post("/v1/sessions", &login("nobody@example.com"))
        .await
        .expect(401);
    assert_eq!(known.problem()["detail"], unknown.problem()["detail"]);
    let again = account(&ada.email, long, "Ada");
    world
        .anonymous()
        .post("/v1/accounts", &again)
        .await
        .expect(409)
        .problem();
}

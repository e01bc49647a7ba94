//! Who sees which payments, and who may move money.

mod world;

use alone::{Client, Engine, SagaCall, on_both_engines, reason, violated_fields};
use contracts::caravan::payment::v1::{self as pb, payment_service_client::PaymentServiceClient};
use tonic::{Code, Status};
use uuid::Uuid;

use world::{Order, VISA, World};

on_both_engines!(
    another_customers_payment_is_one_that_does_not_exist,
    payments_come_newest_first_page_by_page,
    only_services_move_money,
    malformed_requests_name_the_field,
);

async fn get(client: &PaymentServiceClient<Client>, id: &str) -> Result<pb::Payment, Status> {
    let request = pb::GetPaymentRequest {
        payment_id: id.into(),
    };
    let answer = client.clone().get_payment(request).await?;
    Ok(answer.into_inner().payment.expect("always there"))
}

async fn list(
    client: &PaymentServiceClient<Client>,
    order_id: &str,
    page_size: i32,
    page_token: &str,
) -> (Vec<String>, String) {
    let request = pb::ListPaymentsRequest {
        order_id: order_id.into(),
        page_size,
        page_token: page_token.into(),
    };
    let answer = client
        .clone()
        .list_payments(request)
        .await
        .expect("answered")
        .into_inner();
    (
        answer
            .payments
            .into_iter()
            .map(|payment| payment.order_id)
            .collect(),
        answer.next_page_token,
    )
}

async fn another_customers_payment_is_one_that_does_not_exist(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let order = Order::by(VISA);
    let paid = world
        .authorize(&SagaCall::new("authorize"), &order)
        .await
        .expect("the card pays");
    let order_id = order.id.to_string();
    let owner = PaymentServiceClient::new(world.service.user(order.customer, &["customer"]));
    let stranger = PaymentServiceClient::new(world.service.customer());
    let support = PaymentServiceClient::new(world.service.user(Uuid::now_v7(), &["support"]));
    let admin = PaymentServiceClient::new(world.service.admin());
    for client in [&owner, &support, &admin, &world.peer] {
        assert_eq!(get(client, &paid.payment_id).await.expect("visible"), paid);
        assert_eq!(list(client, &order_id, 0, "").await.0, [order_id.as_str()]);
    }
    let hidden = get(&stranger, &paid.payment_id)
        .await
        .expect_err("not theirs");
    let nothing = Uuid::now_v7().to_string();
    let unknown = get(&stranger, &nothing).await.expect_err("unknown");
    assert_eq!(
        (hidden.code(), reason(&hidden)),
        (Code::NotFound, reason(&unknown))
    );
    assert_eq!(
        hidden.message().replace(&paid.payment_id, ""),
        unknown.message().replace(&nothing, "")
    );
    for filter in ["", &order_id] {
        assert!(list(&stranger, filter, 0, "").await.0.is_empty());
    }
}

async fn payments_come_newest_first_page_by_page(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let customer = Uuid::now_v7();
    let mut orders = Vec::new();
    for _ in 0..3 {
        let order = Order {
            customer,
            ..Order::by(VISA)
        };
        world
            .authorize(&SagaCall::new("authorize"), &order)
            .await
            .expect("the card pays");
        world
            .authorize(&SagaCall::new("authorize"), &Order::by(VISA))
            .await
            .expect("somebody else's");
        orders.insert(0, order.id.to_string());
    }
    let owner = PaymentServiceClient::new(world.service.user(customer, &["customer"]));
    let (first, token) = list(&owner, "", 2, "").await;
    let (second, end) = list(&owner, "", 2, &token).await;
    assert_eq!([first, second].concat(), orders);
    assert_eq!(end, "");
    assert_eq!(list(&world.peer, "", 100, "").await.0.len(), 6);
}

async fn only_services_move_money(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let order = Order::by(VISA);
    for (client, code) in [
        (world.service.anonymous(), Code::Unauthenticated),
        (
            world.service.user(order.customer, &["customer"]),
            Code::PermissionDenied,
        ),
        (world.service.admin(), Code::PermissionDenied),
    ] {
        let mut client = PaymentServiceClient::new(client);
        let order_id = order.id.to_string();
        let refused = client
            .authorize_payment(order.authorize())
            .await
            .expect_err("no service");
        assert_eq!(refused.code(), code);
        let refused = client
            .refund_payment(pb::RefundPaymentRequest { order_id })
            .await
            .expect_err("no service");
        assert_eq!(refused.code(), code);
    }
    assert_eq!(world.payment(&order).await, None);
}

async fn malformed_requests_name_the_field(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let mut message = Order::by(VISA).authorize();
    message.order_id = "not a uuid".into();
    message.payment_method.clear();
    let refusal = world
        .peer
        .clone()
        .authorize_payment(message)
        .await
        .expect_err("malformed");
    assert_eq!(refusal.code(), Code::InvalidArgument);
    assert_eq!(violated_fields(&refusal), ["orderId", "paymentMethod"]);
    let request = pb::ListPaymentsRequest {
        page_token: "made up".into(),
        ..Default::default()
    };
    let refusal = world
        .peer
        .clone()
        .list_payments(request)
        .await
        .expect_err("malformed");
    assert_eq!(violated_fields(&refusal), ["pageToken"]);
}

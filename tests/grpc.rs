//! Every service speaks gRPC by itself: health tied to readiness, reflection in both versions, and access rules without the gateway.

use contracts::caravan::{
    catalog::v1::{self as catalog, catalog_service_client::CatalogServiceClient},
    ordering::v1::{self as ordering, ordering_service_client::OrderingServiceClient},
};
use kit::{World, shop::an_order, wait::until};
use tonic::{
    Code, Request, Status,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::{v1, v1alpha};

kit::stories!(
    every_service_answers_health_and_reflection,
    health_follows_the_broker,
    a_service_checks_tokens_itself,
);

const SERVICES: [(&str, &str); 6] = [
    ("catalog", "caravan.catalog.v1.CatalogService"),
    ("identity", "caravan.identity.v1.IdentityService"),
    ("inventory", "caravan.inventory.v1.InventoryService"),
    ("ordering", "caravan.ordering.v1.OrderingService"),
    ("payment", "caravan.payment.v1.PaymentService"),
    ("saga", "caravan.saga.v1.SagaService"),
];

async fn channel(world: &World, service: &str) -> Channel {
    let address = world
        .process(service)
        .grpc
        .expect("a service has a gRPC address");
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("a URL");
    endpoint.connect().await.expect("the service listens")
}

async fn health(channel: &Channel, name: &str) -> Result<ServingStatus, Status> {
    let request = HealthCheckRequest {
        service: name.into(),
    };
    let answer = HealthClient::new(channel.clone()).check(request).await?;
    Ok(answer.into_inner().status())
}

/// Names of the services that reflection v1 lists.
async fn reflected(channel: Channel) -> Vec<String> {
    use v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(channel);
    let answer = client
        .server_reflection_info(futures::stream::iter([request]))
        .await;
    let mut answers = answer.expect("reflection v1").into_inner();
    let answer = answers.message().await.expect("an answer").expect("one");
    match answer.message_response {
        Some(MessageResponse::ListServicesResponse(list)) => list
            .service
            .into_iter()
            .map(|service| service.name)
            .collect(),
        other => panic!("{other:?}"),
    }
}

/// Whether reflection v1alpha, which older tools speak, knows the file of a symbol.
async fn reflected_alpha(channel: Channel, symbol: &str) -> usize {
    use v1alpha::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::FileContainingSymbol(symbol.into())),
    };
    let mut client = ServerReflectionClient::new(channel);
    let answer = client
        .server_reflection_info(futures::stream::iter([request]))
        .await;
    let mut answers = answer.expect("reflection v1alpha").into_inner();
    let answer = answers.message().await.expect("an answer").expect("one");
    match answer.message_response {
        Some(MessageResponse::FileDescriptorResponse(files)) => files.file_descriptor_proto.len(),
        other => panic!("{other:?}"),
    }
}

async fn every_service_answers_health_and_reflection(world: &World) {
    for (service, name) in SERVICES {
        let channel = channel(world, service).await;
        for asked in ["", name] {
            let status = health(&channel, asked).await.expect("health answers");
            assert_eq!(status, ServingStatus::Serving, "{service} {asked:?}");
        }
        let unknown = health(&channel, "caravan.nothing.v1.Nothing").await;
        assert_eq!(unknown.expect_err("unknown").code(), Code::NotFound);

        let listed = reflected(channel.clone()).await;
        for wanted in [
            name,
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
        ] {
            assert!(
                listed.iter().any(|listed| listed == wanted),
                "{service}: {listed:?}"
            );
        }
        for (other, other_name) in SERVICES {
            let is_listed = listed.iter().any(|listed| listed == other_name);
            assert_eq!(is_listed, other == service, "{service} lists {listed:?}");
        }
        assert!(reflected_alpha(channel, name).await > 0);
    }
}

async fn health_follows_the_broker(world: &World) {
    let channel = channel(world, "ordering").await;
    let name = "caravan.ordering.v1.OrderingService";
    world.signal("nats-server", "STOP");
    let wanted = |wanted| {
        let channel = channel.clone();
        async move {
            match health(&channel, name).await {
                Ok(status) if status == wanted => Ok(()),
                other => Err(other),
            }
        }
    };
    until("ordering is not ready without its broker", || {
        wanted(ServingStatus::NotServing)
    })
    .await;
    world.signal("nats-server", "CONT");
    until("ordering is ready again", || wanted(ServingStatus::Serving)).await;
}

fn with_token<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("Bearer {token}").parse().expect("a header value");
    request.metadata_mut().insert("authorization", value);
    request
}

async fn a_service_checks_tokens_itself(world: &World) {
    let sku = world.product("coffee", 1250, 10).await;
    let ada = world.customer("ada").await;
    let token = ada.rest.token().expect("logged in");

    let mut catalog = CatalogServiceClient::new(channel(world, "catalog").await);
    let list = catalog
        .list_products(catalog::ListProductsRequest::default())
        .await;
    let products = list.expect("the catalogue is public").into_inner().products;
    assert_eq!(products.len(), 1);
    assert_eq!(products[0].sku, sku);

    let mut orders = OrderingServiceClient::new(channel(world, "ordering").await);
    let order = || ordering::PlaceOrderRequest {
        lines: vec![ordering::PlaceOrderLine {
            sku: sku.clone(),
            quantity: 1,
        }],
        payment_method: kit::shop::GOOD_CARD.into(),
    };
    let refused = orders.place_order(order()).await.expect_err("no token");
    assert_eq!(refused.code(), Code::Unauthenticated);
    let refused = orders
        .place_order(with_token(order(), "garbage"))
        .await
        .expect_err("no token");
    assert_eq!(refused.code(), Code::Unauthenticated);
    let placed = orders
        .place_order(with_token(order(), token))
        .await
        .expect("placed");
    let placed = placed.into_inner().order.expect("an order");
    assert_eq!(placed.customer_id, ada.account_id);

    // What only services may do, no customer and no admin may.
    let id = placed.order_id;
    let admin = world.admin().await.token().expect("logged in");
    for token in [token, admin] {
        let confirm = ordering::ConfirmOrderRequest {
            order_id: id.clone(),
        };
        let refused = orders.confirm_order(with_token(confirm, token)).await;
        assert_eq!(
            refused.expect_err("no service").code(),
            Code::PermissionDenied
        );
    }
    // The same rules of validation hold without the gateway.
    let mut bad = order();
    bad.lines[0].quantity = 0;
    let refused = orders
        .place_order(with_token(bad, token))
        .await
        .expect_err("no units");
    assert_eq!(refused.code(), Code::InvalidArgument);
    drop(ada.send(&an_order().line(&sku, 1)).await.expect(201));
}

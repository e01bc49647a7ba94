//! A whole service over real ports: probes, reflection, access, deadlines, calls on, drain.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use clap::Parser as _;
use contracts::caravan::{
    identity::v1::{self as identity, identity_service_client::IdentityServiceClient},
    ordering::v1::{
        self as pb,
        ordering_service_client::OrderingServiceClient,
        ordering_service_server::{OrderingService, OrderingServiceServer},
    },
};
use futures::stream::BoxStream;
use prost::Message as _;
use tokio::{
    sync::Notify,
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_stream::StreamExt as _;
use tonic::{Code, Request, Response, Status, metadata::MetadataMap};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus as Health, health_client::HealthClient,
};
use tonic_reflection::pb::{v1 as reflection, v1alpha as reflection_alpha};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use super::*;
use crate::{
    auth::testing::{Keys, Signer},
    client::{Channel, call_raw, connect_lazy},
    config::Common,
    context,
    testing::grpc_double,
};

const ORDERING: &str = "caravan.ordering.v1.OrderingService";
/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(10);

#[derive(clap::Parser)]
struct Config {
    #[command(flatten)]
    common: Common,
}

fn config(arguments: &[&str]) -> Common {
    Config::parse_from([&["test"], arguments].concat()).common
}

/// A service under test. Dropping it leaves nothing behind but its runtime's tasks.
struct Running {
    kit: Kit,
    url: String,
    admin: String,
    ended: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    async fn start(service: Service) -> Self {
        let kit = service.kit.clone();
        let bound = service.bind().await.unwrap();
        let url = format!("http://{}", bound.grpc_addr().unwrap());
        let admin = bound.admin_addr().unwrap().to_string();
        Self {
            kit,
            url,
            admin,
            ended: tokio::spawn(bound.run()),
        }
    }

    fn connection(&self) -> tonic::transport::Channel {
        connect_lazy(&self.url.parse().unwrap())
    }

    fn ordering(&self) -> OrderingServiceClient<tonic::transport::Channel> {
        OrderingServiceClient::new(self.connection())
    }

    async fn health(&self, service: &str) -> Result<Health, Status> {
        let request = HealthCheckRequest {
            service: service.into(),
        };
        HealthClient::new(self.connection())
            .check(request)
            .await
            .map(|answer| answer.into_inner().status())
    }

    /// Waits for a state of health.
    async fn until(&self, state: Health) {
        let seen = async {
            while self.health(ORDERING).await.ok() != Some(state) {
                tokio::task::yield_now().await;
            }
        };
        timeout(LIMIT, seen).await.expect("in time");
    }
}

/// An ordering service that tells what reaches a handler.
#[derive(Clone, Default)]
struct Shop {
    /// Whom `confirm_order` asks.
    upstream: Option<OrderingServiceClient<Channel>>,
    started: Arc<Notify>,
    finish: Arc<Notify>,
}

fn context_now() -> String {
    context::current()
        .expect("a context")
        .request_id
        .to_string()
}

#[tonic::async_trait]
impl OrderingService for Shop {
    async fn place_order(
        &self,
        request: Request<pb::PlaceOrderRequest>,
    ) -> Result<Response<pb::PlaceOrderResponse>, Status> {
        let caller = request
            .extensions()
            .get::<crate::Caller>()
            .expect("a caller")
            .label();
        match request.get_ref().payment_method.as_str() {
            "panic" => panic!("as asked"),
            "wait" => {
                self.started.notify_one();
                self.finish.notified().await;
            }
            "never" => std::future::pending().await,
            _ => {}
        }
        let order = pb::Order {
            order_id: context_now(),
            customer_id: caller,
            ..Default::default()
        };
        Ok(Response::new(pb::PlaceOrderResponse { order: Some(order) }))
    }

    async fn get_order(
        &self,
        _: Request<pb::GetOrderRequest>,
    ) -> Result<Response<pb::GetOrderResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn list_orders(
        &self,
        _: Request<pb::ListOrdersRequest>,
    ) -> Result<Response<pb::ListOrdersResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn cancel_order(
        &self,
        _: Request<pb::CancelOrderRequest>,
    ) -> Result<Response<pb::CancelOrderResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    type WatchOrderStream = BoxStream<'static, Result<pb::WatchOrderResponse, Status>>;

    /// One order, then silence.
    async fn watch_order(
        &self,
        _: Request<pb::WatchOrderRequest>,
    ) -> Result<Response<Self::WatchOrderStream>, Status> {
        let first = tokio_stream::once(()).map(|()| {
            let order = pb::Order {
                order_id: context_now(),
                ..Default::default()
            };
            Ok(pb::WatchOrderResponse { order: Some(order) })
        });
        Ok(Response::new(Box::pin(
            first.chain(tokio_stream::pending()),
        )))
    }

    /// Answers with what it was sent: request id, deadline, trace; or asks another service for that.
    async fn confirm_order(
        &self,
        request: Request<pb::ConfirmOrderRequest>,
    ) -> Result<Response<pb::ConfirmOrderResponse>, Status> {
        if let Some(upstream) = &self.upstream {
            return upstream
                .clone()
                .confirm_order(pb::ConfirmOrderRequest::default())
                .await;
        }
        let left = context::current()
            .and_then(|context| context.deadline)
            .map(|deadline| deadline - Instant::now());
        let caller = request
            .extensions()
            .get::<crate::Caller>()
            .expect("a caller")
            .label();
        let order = pb::Order {
            order_id: context_now(),
            customer_id: caller,
            rejection: Some(pb::Rejection {
                message: format!("{}", left.map_or(0, |left| left.as_millis())),
                ..Default::default()
            }),
            ..Default::default()
        };
        Ok(Response::new(pb::ConfirmOrderResponse {
            order: Some(order),
        }))
    }

    async fn reject_order(
        &self,
        _: Request<pb::RejectOrderRequest>,
    ) -> Result<Response<pb::RejectOrderResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }
}

async fn start(signer: &Signer) -> (Running, Shop) {
    let rpc = Shop::default();
    let kit = Kit::new("ordering", &config(&["--drain-timeout", "5s"]), None).unwrap();
    (
        Running::start(
            kit.grpc(OrderingServiceServer::new(rpc.clone()))
                .keys(Keys::of(signer)),
        )
        .await,
        rpc,
    )
}

fn with<M>(message: M, token: &str) -> Request<M> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

fn pay_by(method: &str) -> pb::PlaceOrderRequest {
    pb::PlaceOrderRequest {
        payment_method: method.into(),
        ..Default::default()
    }
}

fn refusal(status: &Status) -> (Code, String) {
    (
        status.code(),
        status
            .get_details_error_info()
            .map(|info| info.reason)
            .unwrap_or_default(),
    )
}

async fn http_get(address: &str, path: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn health_follows_the_checks_and_needs_no_token() {
    let up = Arc::new(AtomicBool::new(false));
    let asked = up.clone();
    let kit = Kit::new("ordering", &config(&[]), None).unwrap();
    let service = kit
        .grpc(OrderingServiceServer::new(Shop::default()))
        .keys(Keys::of(&Signer::new("k1")))
        .ready_when("provider", move || {
            let up = asked.load(Ordering::SeqCst);
            async move { up.then_some(()).ok_or("away") }
        });
    let running = Running::start(service).await;
    running.until(Health::NotServing).await;
    assert!(
        http_get(&running.admin, "/readyz")
            .await
            .starts_with("HTTP/1.1 503")
    );
    assert!(
        http_get(&running.admin, "/livez")
            .await
            .starts_with("HTTP/1.1 200")
    );

    up.store(true, Ordering::SeqCst);
    running.until(Health::Serving).await;
    assert_eq!(running.health("").await.unwrap(), Health::Serving);
    assert_eq!(
        running.health("nobody").await.unwrap_err().code(),
        Code::NotFound
    );
    let ready = http_get(&running.admin, "/readyz").await;
    assert!(
        ready.starts_with("HTTP/1.1 200") && ready.contains(r#""provider":"ok""#),
        "{ready}"
    );
}

#[tokio::test]
async fn reflection_tells_what_is_served() {
    let (running, _) = start(&Signer::new("k1")).await;

    use reflection::{
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let ask = |question| reflection::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(question),
    };
    let questions = [
        ask(MessageRequest::ListServices(String::new())),
        ask(MessageRequest::FileContainingSymbol(ORDERING.into())),
        ask(MessageRequest::FileContainingSymbol(
            "grpc.health.v1.Health".into(),
        )),
    ];
    let mut client =
        reflection::server_reflection_client::ServerReflectionClient::new(running.connection());
    let answers = client
        .server_reflection_info(tokio_stream::iter(questions))
        .await
        .unwrap()
        .into_inner();
    let answers: Vec<_> = answers
        .map(|answer| answer.unwrap().message_response.unwrap())
        .collect()
        .await;
    let MessageResponse::ListServicesResponse(list) = &answers[0] else {
        panic!("{answers:?}")
    };
    let names: Vec<_> = list
        .service
        .iter()
        .map(|service| service.name.as_str())
        .collect();
    for name in [
        ORDERING,
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
    ] {
        assert!(names.contains(&name), "{names:?}");
    }
    assert!(
        !names.contains(&"caravan.identity.v1.IdentityService"),
        "{names:?}"
    );
    for answer in &answers[1..] {
        assert!(
            matches!(answer, MessageResponse::FileDescriptorResponse(_)),
            "{answer:?}"
        );
    }

    let question = reflection_alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(
            reflection_alpha::server_reflection_request::MessageRequest::FileContainingSymbol(
                "caravan.ordering.v1.Order".into(),
            ),
        ),
    };
    let mut client = reflection_alpha::server_reflection_client::ServerReflectionClient::new(
        running.connection(),
    );
    let mut answers = client
        .server_reflection_info(tokio_stream::iter([question]))
        .await
        .unwrap()
        .into_inner();
    let answer = answers
        .next()
        .await
        .unwrap()
        .unwrap()
        .message_response
        .unwrap();
    assert!(matches!(
        answer,
        reflection_alpha::server_reflection_response::MessageResponse::FileDescriptorResponse(_)
    ));
}

#[tokio::test]
async fn access_is_what_the_contract_says() {
    let signer = Signer::new("k1");
    let (running, _) = start(&signer).await;
    let mut client = running.ordering();
    let missing = client.place_order(pay_by("")).await.unwrap_err();
    assert_eq!(
        refusal(&missing),
        (Code::Unauthenticated, "TOKEN_MISSING".into())
    );
    let invalid = client
        .place_order(with(pay_by(""), "rubbish"))
        .await
        .unwrap_err();
    assert_eq!(
        refusal(&invalid),
        (Code::Unauthenticated, "TOKEN_INVALID".into())
    );
    let mut claims = crate::auth::testing::claims("user", &Uuid::nil().to_string());
    claims["exp"] = 1.into();
    let expired = client
        .place_order(with(pay_by(""), &signer.sign(&signer.header(), &claims)))
        .await
        .unwrap_err();
    assert_eq!(
        refusal(&expired),
        (Code::Unauthenticated, "TOKEN_EXPIRED".into())
    );

    let (user, id) = (Uuid::now_v7(), pb::ConfirmOrderRequest::default());
    let denied = client
        .confirm_order(with(id.clone(), &signer.user(user, &["admin"])))
        .await
        .unwrap_err();
    assert_eq!(
        refusal(&denied),
        (Code::PermissionDenied, "ACCESS_DENIED".into())
    );
    let denied = client
        .place_order(with(pay_by(""), &signer.service("saga")))
        .await
        .unwrap_err();
    assert_eq!(
        refusal(&denied),
        (Code::PermissionDenied, "ACCESS_DENIED".into())
    );

    let placed = client
        .place_order(with(pay_by(""), &signer.user(user, &[])))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(placed.order.unwrap().customer_id, format!("user:{user}"));
    client
        .confirm_order(with(id, &signer.service("saga")))
        .await
        .unwrap();
    let nowhere = IdentityServiceClient::new(running.connection())
        .get_key_set(identity::GetKeySetRequest {})
        .await;
    assert_eq!(nowhere.unwrap_err().code(), Code::Unimplemented);
}

#[tokio::test]
async fn a_deadline_holds_over_the_handler_and_over_streams() {
    let signer = Signer::new("k1");
    let (running, _) = start(&signer).await;
    let kit = Kit::new(
        "saga",
        &config(&["--upstreams", &format!("ordering={}", running.url)]),
        None,
    )
    .unwrap();
    let mut client = OrderingServiceClient::new(kit.channel("ordering").unwrap());
    let mut request = with(pay_by("never"), &signer.user(Uuid::nil(), &[]));
    request.set_timeout(Duration::from_millis(80));
    let late = timeout(LIMIT, client.place_order(request))
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded);

    let mut request = with(
        pb::WatchOrderRequest::default(),
        &signer.user(Uuid::nil(), &[]),
    );
    request.set_timeout(Duration::from_secs(1));
    request
        .metadata_mut()
        .insert("x-request-id", "r-7".parse().unwrap());
    let mut stream = client.watch_order(request).await.unwrap().into_inner();
    let first = stream.message().await.unwrap().unwrap();
    assert_eq!(
        first.order.unwrap().order_id,
        "r-7",
        "streams run within their context"
    );
    assert_eq!(
        timeout(LIMIT, stream.message())
            .await
            .unwrap()
            .unwrap_err()
            .code(),
        Code::DeadlineExceeded
    );
}

#[tokio::test]
async fn a_panic_is_internal_and_the_connection_goes_on() {
    let signer = Signer::new("k1");
    let (running, _) = start(&signer).await;
    let mut client = running.ordering();
    let token = signer.user(Uuid::nil(), &[]);
    let status = client
        .place_order(with(pay_by("panic"), &token))
        .await
        .unwrap_err();
    assert_eq!(refusal(&status), (Code::Internal, "INTERNAL".into()));
    assert!(!status.message().contains("as asked"));
    client.place_order(with(pay_by(""), &token)).await.unwrap();
}

#[tokio::test]
async fn a_call_goes_on_with_token_request_id_and_what_is_left_of_the_deadline() {
    let signer = Signer::new("k1");
    let (callee, _) = start(&signer).await;
    // Identity is asked over the port for keys and for the caller's token.
    let identity = serve_identity(signer.clone()).await;
    let upstreams = format!("ordering={},identity={identity}", callee.url);
    let kit = Kit::new(
        "saga",
        &config(&["--upstreams", &upstreams, "--client-secret", "hush"]),
        None,
    )
    .unwrap();
    let upstream = Some(OrderingServiceClient::new(kit.channel("ordering").unwrap()));
    let caller = Running::start(kit.grpc(OrderingServiceServer::new(Shop {
        upstream,
        ..Default::default()
    })))
    .await;

    let mut request = with(
        pb::ConfirmOrderRequest::default(),
        &signer.service("gateway"),
    );
    request
        .metadata_mut()
        .insert("x-request-id", "r-1".parse().unwrap());
    request.set_timeout(Duration::from_secs(3));
    let seen = caller
        .ordering()
        .confirm_order(request)
        .await
        .unwrap()
        .into_inner()
        .order
        .unwrap();
    assert_eq!(
        (seen.order_id.as_str(), seen.customer_id.as_str()),
        ("r-1", "service:saga")
    );
    let left: u64 = seen.rejection.unwrap().message.parse().unwrap();
    assert!((1..3000).contains(&left), "{left} ms");

    let raw = pb::ConfirmOrderRequest::default().encode_to_vec().into();
    let path = format!("/{ORDERING}/ConfirmOrder");
    let channel = kit.channel("ordering").unwrap();
    let answer = call_raw(&channel, &path, raw, MetadataMap::new(), LIMIT)
        .await
        .unwrap();
    assert_eq!(
        pb::ConfirmOrderResponse::decode(answer)
            .unwrap()
            .order
            .unwrap()
            .customer_id,
        "service:saga"
    );
    let bad = call_raw(
        &channel,
        &format!("/{ORDERING}/GetOrder"),
        Bytes::new(),
        MetadataMap::new(),
        LIMIT,
    )
    .await;
    assert_eq!(bad.unwrap_err().code(), Code::Unimplemented);
}

#[tokio::test]
async fn a_service_that_is_away_is_unavailable() {
    let kit = Kit::new(
        "saga",
        &config(&["--upstreams", "ordering=http://127.0.0.1:1"]),
        None,
    )
    .unwrap();
    let mut client = OrderingServiceClient::new(kit.channel("ordering").unwrap());
    let status = client
        .confirm_order(pb::ConfirmOrderRequest::default())
        .await
        .unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unavailable, "ordering cannot be reached")
    );
    let Err(error) = kit.channel("catalog") else {
        panic!("not configured")
    };
    assert_eq!(
        error.to_string(),
        "UPSTREAMS names no `catalog`: add catalog=http://host:port"
    );
}

#[tokio::test]
async fn a_drain_finishes_what_runs() {
    let signer = Signer::new("k1");
    let (running, rpc) = start(&signer).await;
    running.until(Health::Serving).await;
    let token = signer.user(Uuid::nil(), &[]);
    let mut stream = running
        .ordering()
        .watch_order(with(pb::WatchOrderRequest::default(), &token))
        .await
        .unwrap()
        .into_inner();
    stream.message().await.unwrap().unwrap();
    let mut health = HealthClient::new(running.connection());
    let watched = HealthCheckRequest {
        service: ORDERING.into(),
    };
    let mut health = health.watch(watched).await.unwrap().into_inner();
    assert_eq!(
        health.message().await.unwrap().unwrap().status(),
        Health::Serving
    );
    let mut client = running.ordering();
    let call = tokio::spawn(async move { client.place_order(with(pay_by("wait"), &token)).await });
    rpc.started.notified().await;

    running.kit.drain().cancel();
    assert_eq!(
        health.message().await.unwrap().unwrap().status(),
        Health::NotServing
    );
    let end = timeout(LIMIT, stream.message()).await.unwrap().unwrap_err();
    assert_eq!(end.code(), Code::Unavailable);
    let address = running.url.trim_start_matches("http://").to_owned();
    while tokio::net::TcpStream::connect(&address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(
        http_get(&running.admin, "/readyz")
            .await
            .contains(r#""draining":true"#)
    );
    assert!(!running.ended.is_finished());

    rpc.finish.notify_one();
    call.await.unwrap().unwrap();
    timeout(LIMIT, running.ended)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn what_keeps_a_service_from_booting_is_said() {
    let fault =
        |service: Service| async { format!("{:#}", service.bind().await.err().expect("a fault")) };
    let server = || OrderingServiceServer::new(Shop::default());
    let kit = Kit::new("ordering", &config(&[]), None).unwrap();
    let text = fault(kit.grpc(server())).await;
    assert!(text.contains("UPSTREAMS names no `identity`"), "{text}");

    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let kit = Kit::new("ordering", &config(&["--grpc-addr", &address]), None).unwrap();
    let text = fault(kit.grpc(server()).keys(Keys::default())).await;
    assert!(
        text.contains(&format!("GRPC_ADDR: cannot listen on {address}")),
        "{text}"
    );

    let kit = Kit::new("ordering", &config(&[]), None).unwrap();
    let health = tonic_health::server::health_reporter().1;
    let text = fault(kit.grpc(health).keys(Keys::default())).await;
    assert_eq!(text, "grpc.health.v1.Health is not in the contract");
}

/// An identity service that knows keys and gives out one token.
async fn serve_identity(signer: Signer) -> String {
    grpc_double(move |request| {
        assert!(
            !request.headers().contains_key("authorization"),
            "tokens are what identity is asked for"
        );
        Ok(match request.uri().path() {
            "/caravan.identity.v1.IdentityService/GetKeySet" => identity::GetKeySetResponse {
                keys: vec![signer.jwk()],
            }
            .encode_to_vec(),
            _ => identity::IssueServiceTokenResponse {
                access_token: signer.service("saga"),
                expires_in: 60,
            }
            .encode_to_vec(),
        })
    })
    .await
}

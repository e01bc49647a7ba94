//! A whole service over real ports: probes, reflection, access, deadlines, calls on, drain.

mod calls;
mod drain;
mod ops;
mod overload;
mod peers;
mod probes;

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
    /// Whom `confirm_order` asks, in this service's name, and `place_order`, in the user's.
    upstream: Option<Channel>,
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
        if let Some(upstream) = &self.upstream {
            let mut client = OrderingServiceClient::new(upstream.as_user());
            return client.place_order(pay_by("")).await;
        }
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

    async fn request_return(
        &self,
        _: Request<pb::RequestReturnRequest>,
    ) -> Result<Response<pb::RequestReturnResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn accept_return(
        &self,
        _: Request<pb::AcceptReturnRequest>,
    ) -> Result<Response<pb::AcceptReturnResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn decline_return(
        &self,
        _: Request<pb::DeclineReturnRequest>,
    ) -> Result<Response<pb::DeclineReturnResponse>, Status> {
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
            let mut client = OrderingServiceClient::new(upstream.clone());
            return client
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

//! A gateway on a free port in front of an ordering and a catalog service that do as their tests tell them.

#![allow(dead_code, reason = "each test file uses a part")]

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use contracts::caravan::{
    catalog::v1 as catalog,
    catalog::v1::catalog_service_server::{CatalogService, CatalogServiceServer},
    common::v1::Money,
    ordering::v1 as pb,
    ordering::v1::ordering_service_server::{OrderingService, OrderingServiceServer},
};
use futures::{Stream, StreamExt as _, stream};
use gateway::{
    api::Api, gateway::Gateway, policy::Policies, server, source::Contract, upstream::Directory,
};
use http::HeaderMap;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// Longest wait for anything in a test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A gateway and its services; all end with it.
pub(crate) struct World {
    pub(crate) url: String,
    pub(crate) address: SocketAddr,
    pub(crate) fake: Fake,
    pub(crate) client: reqwest::Client,
    pub(crate) drain: CancellationToken,
    pub(crate) upstream: CancellationToken,
    pub(crate) upstream_address: SocketAddr,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(Policies::default()).await
    }

    /// With policies, which most tests do without.
    pub(crate) async fn with(policies: Policies) -> Self {
        let fake = Fake::default();
        let upstream = CancellationToken::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let upstream_address = listener.local_addr().expect("bound");
        serve_upstream(fake.clone(), listener, upstream.clone());
        let mut world = Self::behind(policies, fake, upstream_address).await;
        world.upstream = upstream;
        world
    }

    pub(crate) async fn in_front_of(fake: Fake, upstream_address: SocketAddr) -> Self {
        Self::behind(Policies::default(), fake, upstream_address).await
    }

    async fn behind(policies: Policies, fake: Fake, upstream_address: SocketAddr) -> Self {
        let upstreams =
            format!("ordering=http://{upstream_address},catalog=http://{upstream_address}");
        let upstreams = upstreams.parse().expect("upstreams");
        let policies = Arc::new(policies);
        let directory = Directory::new(&[], &upstreams, 1);
        let api = Api::compile(&Contract::built_in(), &directory, &policies);
        let api = api.expect("the contract");
        let drain = CancellationToken::new();
        let gateway = Arc::new(Gateway::new(api, policies, false, drain.clone()));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(server::serve(
            listener,
            None,
            gateway,
            drain.clone(),
            PATIENCE,
        ));
        Self {
            url: format!("http://{address}"),
            address,
            fake,
            client: reqwest::Client::new(),
            drain,
            upstream: CancellationToken::new(),
            upstream_address,
        }
    }

    pub(crate) fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.client.get(format!("{}{path}", self.url))
    }

    pub(crate) fn post(&self, path: &str, json: &str) -> reqwest::RequestBuilder {
        self.client
            .post(format!("{}{path}", self.url))
            .header("content-type", "application/json")
            .body(json.to_owned())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.drain.cancel();
        self.upstream.cancel();
    }
}

pub(crate) fn serve_upstream(fake: Fake, listener: TcpListener, stop: CancellationToken) {
    tokio::spawn(async move {
        let server = tonic::transport::Server::builder()
            .add_service(OrderingServiceServer::new(fake.clone()))
            .add_service(CatalogServiceServer::new(fake));
        let incoming = TcpListenerStream::new(listener);
        tokio::select! {
            _ = server.serve_with_incoming(incoming) => {}
            () = stop.cancelled() => {}
        }
    });
}

/// Waits for a condition.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let poll = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, poll).await;
    in_time.unwrap_or_else(|_| panic!("not in time: {what}"));
}

/// Both services. Order ids say what happens; what is called is recorded.
#[derive(Clone, Default)]
pub(crate) struct Fake {
    pub(crate) calls: Arc<Mutex<Vec<HeaderMap>>>,
    pub(crate) placed: Arc<Mutex<Vec<pb::PlaceOrderRequest>>>,
    pub(crate) listed: Arc<Mutex<Vec<pb::ListOrdersRequest>>>,
    pub(crate) updated: Arc<Mutex<Vec<catalog::UpdateProductRequest>>>,
    /// Calls and streams that are being served.
    pub(crate) running: Arc<AtomicUsize>,
    pub(crate) sent: Arc<AtomicUsize>,
    /// Whether the catalog fails.
    pub(crate) is_away: Arc<AtomicBool>,
}

impl Fake {
    fn record<T>(&self, request: Request<T>) -> T {
        let (metadata, _, message) = request.into_parts();
        self.calls
            .lock()
            .expect("calls")
            .push(metadata.into_headers());
        message
    }

    /// How many calls have been served.
    pub(crate) fn count(&self) -> usize {
        self.calls.lock().expect("calls").len()
    }

    pub(crate) fn last_call(&self) -> HeaderMap {
        let calls = self.calls.lock().expect("calls");
        calls.last().cloned().expect("a call")
    }

    fn run(&self) -> Running {
        self.running.fetch_add(1, Ordering::SeqCst);
        Running(self.running.clone())
    }
}

struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

pub(crate) fn order(id: &str) -> pb::Order {
    pb::Order {
        order_id: id.into(),
        status: pb::OrderStatus::Pending.into(),
        lines: vec![pb::OrderLine {
            sku: "tea".into(),
            quantity: 2,
            unit_price: Some(Money {
                currency_code: "EUR".into(),
                minor_units: 450,
            }),
            ..Default::default()
        }],
        ..Default::default()
    }
}

type Watched = std::pin::Pin<Box<dyn Stream<Item = Result<pb::WatchOrderResponse, Status>> + Send>>;

fn watched(id: &str) -> Result<pb::WatchOrderResponse, Status> {
    Ok(pb::WatchOrderResponse {
        order: Some(order(id)),
    })
}

#[tonic::async_trait]
impl OrderingService for Fake {
    type WatchOrderStream = Watched;

    async fn place_order(
        &self,
        request: Request<pb::PlaceOrderRequest>,
    ) -> Result<Response<pb::PlaceOrderResponse>, Status> {
        let message = self.record(request);
        self.placed.lock().expect("placed").push(message);
        Ok(Response::new(pb::PlaceOrderResponse {
            order: Some(order("o 1/2")),
        }))
    }

    async fn get_order(
        &self,
        request: Request<pb::GetOrderRequest>,
    ) -> Result<Response<pb::GetOrderResponse>, Status> {
        let id = self.record(request).order_id;
        let fault = |code, text: &str| Err(Status::new(code, text));
        match id.as_str() {
            "slow" => {
                let _running = self.run();
                tokio::time::sleep(PATIENCE).await;
                fault(Code::Internal, "nobody waited")
            }
            "missing" => {
                let details = ErrorDetails::with_error_info(
                    "ORDER_NOT_FOUND",
                    "ordering.caravan",
                    [("id".to_owned(), id.clone())],
                );
                Err(Status::with_error_details(
                    Code::NotFound,
                    "no such order",
                    details,
                ))
            }
            "invalid" => {
                let details =
                    ErrorDetails::with_bad_request_violation("order_id", "must be a UUID");
                Err(Status::with_error_details(
                    Code::InvalidArgument,
                    "bad id",
                    details,
                ))
            }
            "broken" => fault(Code::Internal, "SELECT * FROM secrets at 10.0.0.7"),
            "anonymous" => fault(Code::Unauthenticated, "no token"),
            "busy" => fault(Code::ResourceExhausted, "later"),
            "large" => {
                let mut order = order(&id);
                order.customer_name = "x".repeat(3_000_000);
                Ok(Response::new(pb::GetOrderResponse { order: Some(order) }))
            }
            "nothing" => Ok(Response::new(pb::GetOrderResponse { order: None })),
            _ => match id.strip_prefix("code-").and_then(|code| code.parse().ok()) {
                Some(code) => fault(Code::from_i32(code), "as it is"),
                None => Ok(Response::new(pb::GetOrderResponse {
                    order: Some(order(&id)),
                })),
            },
        }
    }

    async fn list_orders(
        &self,
        request: Request<pb::ListOrdersRequest>,
    ) -> Result<Response<pb::ListOrdersResponse>, Status> {
        let message = self.record(request);
        self.listed.lock().expect("listed").push(message);
        Ok(Response::new(pb::ListOrdersResponse::default()))
    }

    async fn cancel_order(
        &self,
        request: Request<pb::CancelOrderRequest>,
    ) -> Result<Response<pb::CancelOrderResponse>, Status> {
        let id = self.record(request).order_id;
        Ok(Response::new(pb::CancelOrderResponse {
            order: Some(order(&id)),
        }))
    }

    async fn watch_order(
        &self,
        request: Request<pb::WatchOrderRequest>,
    ) -> Result<Response<Watched>, Status> {
        let id = self.record(request).order_id;
        let failure = Err(Status::new(Code::Aborted, "came apart"));
        let items: Watched = match id.as_str() {
            "fails-at-once" => return Err(Status::not_found("no such order")),
            "fails-first" => stream::iter([Err(Status::not_found("no such order"))]).boxed(),
            "fails-later" => stream::iter([watched("a"), watched("b"), failure]).boxed(),
            "empty" => stream::iter([]).boxed(),
            "hangs" => {
                let running = self.run();
                stream::iter([watched("a")])
                    .chain(stream::pending())
                    .map(move |item| {
                        let _running = &running;
                        item
                    })
                    .boxed()
            }
            "endless" => {
                let (running, sent) = (self.run(), self.sent.clone());
                stream::repeat_with(move || {
                    let _running = &running;
                    sent.fetch_add(1, Ordering::SeqCst);
                    let mut order = order("a");
                    order.customer_name = "x".repeat(10_000);
                    Ok(pb::WatchOrderResponse { order: Some(order) })
                })
                .boxed()
            }
            _ => stream::iter([watched("a"), watched("b")]).boxed(),
        };
        Ok(Response::new(items))
    }

    async fn confirm_order(
        &self,
        _: Request<pb::ConfirmOrderRequest>,
    ) -> Result<Response<pb::ConfirmOrderResponse>, Status> {
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

    async fn reject_order(
        &self,
        _: Request<pb::RejectOrderRequest>,
    ) -> Result<Response<pb::RejectOrderResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }
}

#[tonic::async_trait]
impl CatalogService for Fake {
    async fn create_product(
        &self,
        _: Request<catalog::CreateProductRequest>,
    ) -> Result<Response<catalog::CreateProductResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn get_product(
        &self,
        _: Request<catalog::GetProductRequest>,
    ) -> Result<Response<catalog::GetProductResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn list_products(
        &self,
        request: Request<catalog::ListProductsRequest>,
    ) -> Result<Response<catalog::ListProductsResponse>, Status> {
        let request = self.record(request);
        if self.is_away.load(Ordering::SeqCst) {
            return Err(Status::unavailable("away"));
        }
        let product = |index| catalog::Product {
            name: format!("product {index}"),
            ..Default::default()
        };
        Ok(Response::new(catalog::ListProductsResponse {
            products: (0..request.page_size).map(product).collect(),
            ..Default::default()
        }))
    }

    async fn batch_get_products(
        &self,
        _: Request<catalog::BatchGetProductsRequest>,
    ) -> Result<Response<catalog::BatchGetProductsResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn update_product(
        &self,
        request: Request<catalog::UpdateProductRequest>,
    ) -> Result<Response<catalog::UpdateProductResponse>, Status> {
        let message = self.record(request);
        let product = message.product.clone();
        self.updated.lock().expect("updated").push(message);
        Ok(Response::new(catalog::UpdateProductResponse { product }))
    }

    async fn retire_product(
        &self,
        _: Request<catalog::RetireProductRequest>,
    ) -> Result<Response<catalog::RetireProductResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }
}

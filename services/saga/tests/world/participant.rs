//! Inventory, payment and ordering in one server: it writes down durably what it did, behind the chassis' barrier,
//! and fails as the test says.

use std::{
    collections::{HashMap, VecDeque},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use alone::wait::until;
use async_nats::{HeaderMap, jetstream};
use chassis::{
    Call, Caller, SagaOperation, SagaStep,
    call::{SAGA_EPOCH, SAGA_ID, SAGA_OPERATION, SAGA_STEP},
    db::{Db, Error},
    status,
};
use contracts::{
    caravan::{
        inventory::v1::{
            self as inventory,
            inventory_service_server::{InventoryService, InventoryServiceServer},
        },
        ordering::v1::{
            self as ordering,
            ordering_service_server::{OrderingService, OrderingServiceServer},
        },
        payment::v1::{
            self as payment,
            payment_service_server::{PaymentService, PaymentServiceServer},
        },
    },
    policy,
};
use futures::stream::BoxStream;
use kit::{DatabaseUrl, Engine, database_url};
use prost::Message;
use prost_reflect::ReflectMessage;
use sea_orm::{ConnectionTrait, Statement};
use sea_orm_migration::prelude::*;
use tokio::{net::TcpListener, sync::Notify};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status, async_trait, transport::Server};
use uuid::Uuid;

/// What becomes of one call.
#[derive(Clone, Debug)]
pub(crate) enum Fate {
    /// Refused with this status.
    Status(Code, &'static str),
    /// Done, but the answer is lost.
    Lost,
    /// Done once the test says so.
    Held(Arc<Notify>),
}

/// A running participant.
#[derive(Clone)]
pub(crate) struct Participant {
    pub(crate) url: String,
    shared: Arc<Shared>,
}

struct Shared {
    ledger: Db,
    _file: DatabaseUrl,
    fates: Mutex<HashMap<&'static str, VecDeque<Fate>>>,
    calls: Mutex<Vec<(&'static str, i64)>>,
    /// AuthorizePayment answers this many bytes.
    talk_bytes: AtomicUsize,
}

impl Participant {
    pub(crate) async fn start() -> Self {
        let file = database_url(Engine::Sqlite).expect("SQLite is always there");
        let ledger = Db::open::<Ledger>(&file).await.expect("the ledger opens");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let shared = Shared {
            ledger,
            _file: file,
            fates: Mutex::default(),
            calls: Mutex::default(),
            talk_bytes: AtomicUsize::new(0),
        };
        let participant = Self {
            url,
            shared: Arc::new(shared),
        };
        let server = Server::builder()
            .add_service(InventoryServiceServer::new(participant.clone()))
            .add_service(PaymentServiceServer::new(participant.clone()))
            .add_service(OrderingServiceServer::new(participant.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(server);
        participant
    }

    /// What becomes of the next calls of a method.
    pub(crate) fn will(&self, method: &'static str, fates: impl IntoIterator<Item = Fate>) {
        lock(&self.shared.fates)
            .entry(method)
            .or_default()
            .extend(fates);
    }

    /// Every call of a method fails with this status until [`Self::heal`].
    pub(crate) fn break_down(&self, method: &'static str, code: Code) {
        self.will(
            method,
            std::iter::repeat_n(Fate::Status(code, "BROKEN"), 10_000),
        );
    }

    /// AuthorizePayment answers this many bytes from now on.
    pub(crate) fn talk(&self, bytes: usize) {
        self.shared.talk_bytes.store(bytes, Relaxed);
    }

    /// Forgets every fate of a method.
    pub(crate) fn heal(&self, method: &'static str) {
        lock(&self.shared.fates).remove(method);
    }

    /// The calls of a method that arrived: the epochs they named.
    pub(crate) fn calls(&self, method: &str) -> Vec<i64> {
        lock(&self.shared.calls)
            .iter()
            .filter(|(called, _)| *called == method)
            .map(|(_, epoch)| *epoch)
            .collect()
    }

    /// Waits until a method was called this often.
    pub(crate) async fn called(&self, method: &str, times: usize) {
        until(&format!("{times} calls of {method}"), || async {
            let calls = self.calls(method).len();
            if calls >= times { Ok(()) } else { Err(calls) }
        })
        .await;
    }

    /// What was done for an order, in order: methods, and `Method:text` where there is a text to tell.
    pub(crate) async fn effects(&self, order: &str) -> Vec<String> {
        let read = self.shared.ledger.read();
        let sql = "SELECT effect FROM effects WHERE order_id = $1 ORDER BY id";
        let statement =
            Statement::from_sql_and_values(read.get_database_backend(), sql, [order.into()]);
        let rows = read
            .query_all_raw(statement)
            .await
            .expect("the ledger reads");
        rows.iter()
            .map(|row| row.try_get("", "effect").expect("a text"))
            .collect()
    }

    async fn serve<M: Message, R: Message + Default + Clone>(
        &self,
        method: &'static str,
        request: Request<M>,
        (order, note): (&str, String),
        reply: R,
    ) -> Result<Response<R>, Status> {
        let step = saga_step(&request);
        lock(&self.shared.calls).push((method, step.epoch));
        let fate = lock(&self.shared.fates)
            .get_mut(method)
            .and_then(VecDeque::pop_front);
        match &fate {
            Some(Fate::Status(code, reason)) => {
                return Err(status::with_reason(*code, reason, "as the test says"));
            }
            Some(Fate::Held(gate)) => gate.notified().await,
            Some(Fate::Lost) | None => {}
        }
        let call = Call {
            caller: Caller::Service {
                name: "saga".into(),
            },
            method: "/test/Test",
            idempotency_key: None,
            prefer_wait: None,
            saga: Some(step),
        };
        let effect = &format!("{method}{note}");
        let reply = &reply;
        let message = request.get_ref();
        let done: Result<R, Error> = self
            .shared
            .ledger
            .once(&call, message, |tx| async move {
                let sql = "INSERT INTO effects (order_id, effect) VALUES ($1, $2)";
                let values = [order.into(), effect.as_str().into()];
                tx.execute_raw(Statement::from_sql_and_values(
                    tx.get_database_backend(),
                    sql,
                    values,
                ))
                .await?;
                Ok(reply.clone())
            })
            .await;
        let reply = done.map_err(|error| status::from_error(&error))?;
        match fate {
            Some(Fate::Lost) => Err(Status::unavailable("the answer is lost")),
            _ => Ok(Response::new(reply)),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn saga_step<M>(request: &Request<M>) -> SagaStep {
    let text = |key: &str| {
        request
            .metadata()
            .get(key)
            .expect(key)
            .to_str()
            .expect("ASCII")
            .to_owned()
    };
    SagaStep {
        saga_id: text(SAGA_ID).parse().expect("a UUID"),
        step: text(SAGA_STEP),
        operation: match text(SAGA_OPERATION).as_str() {
            "action" => SagaOperation::Action,
            "compensation" => SagaOperation::Compensation,
            other => panic!("{other}"),
        },
        epoch: text(SAGA_EPOCH).parse().expect("a number"),
    }
}

struct Ledger;

#[async_trait]
impl MigratorTrait for Ledger {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(Effects)]
    }
}

struct Effects;

impl MigrationName for Effects {
    fn name(&self) -> &str {
        "m0001_effects"
    }
}

#[async_trait]
impl MigrationTrait for Effects {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let sql = "CREATE TABLE effects (id INTEGER PRIMARY KEY, order_id TEXT NOT NULL, effect TEXT NOT NULL)";
        manager
            .get_connection()
            .execute_unprepared(sql)
            .await
            .map(drop)
    }
}

/// What `async_trait` makes of an rpc; it does not look into macros.
type Answering<'a, T> = Pin<Box<dyn Future<Output = Result<Response<T>, Status>> + Send + 'a>>;

/// An rpc that writes the method's name down for the order.
macro_rules! effect {
    ($package:ident, $rpc:ident, $method:ident, $request:ident, $response:ident) => {
        fn $rpc<'s, 'a>(
            &'s self,
            request: Request<$package::$request>,
        ) -> Answering<'a, $package::$response>
        where
            's: 'a,
            Self: 'a,
        {
            Box::pin(async move {
                let order = request.get_ref().order_id.clone();
                let reply = $package::$response::default();
                self.serve(stringify!($method), request, (&order, String::new()), reply)
                    .await
            })
        }
    };
}

/// An rpc that no saga calls.
macro_rules! absent {
    ($package:ident, $rpc:ident, $request:ident, $response:ident) => {
        fn $rpc<'s, 'a>(
            &'s self,
            _: Request<$package::$request>,
        ) -> Answering<'a, $package::$response>
        where
            's: 'a,
            Self: 'a,
        {
            Box::pin(async { Err(Status::unimplemented("not in tests")) })
        }
    };
}

#[async_trait]
impl InventoryService for Participant {
    effect!(
        inventory,
        reserve_stock,
        ReserveStock,
        ReserveStockRequest,
        ReserveStockResponse
    );
    effect!(
        inventory,
        release_stock,
        ReleaseStock,
        ReleaseStockRequest,
        ReleaseStockResponse
    );
    effect!(
        inventory,
        commit_stock,
        CommitStock,
        CommitStockRequest,
        CommitStockResponse
    );
    effect!(
        inventory,
        return_stock,
        ReturnStock,
        ReturnStockRequest,
        ReturnStockResponse
    );
    absent!(inventory, get_stock, GetStockRequest, GetStockResponse);
    absent!(
        inventory,
        batch_get_stock,
        BatchGetStockRequest,
        BatchGetStockResponse
    );
    absent!(inventory, set_stock, SetStockRequest, SetStockResponse);
}

#[async_trait]
impl PaymentService for Participant {
    async fn authorize_payment(
        &self,
        request: Request<payment::AuthorizePaymentRequest>,
    ) -> Result<Response<payment::AuthorizePaymentResponse>, Status> {
        let order = request.get_ref().order_id.clone();
        let payment = payment::Payment {
            order_id: order.clone(),
            provider_reference: "x".repeat(self.shared.talk_bytes.load(Relaxed)),
            ..Default::default()
        };
        let reply = payment::AuthorizePaymentResponse {
            payment: Some(payment),
        };
        self.serve("AuthorizePayment", request, (&order, String::new()), reply)
            .await
    }

    effect!(
        payment,
        capture_payment,
        CapturePayment,
        CapturePaymentRequest,
        CapturePaymentResponse
    );
    effect!(
        payment,
        void_payment,
        VoidPayment,
        VoidPaymentRequest,
        VoidPaymentResponse
    );
    effect!(
        payment,
        refund_payment,
        RefundPayment,
        RefundPaymentRequest,
        RefundPaymentResponse
    );
    absent!(payment, get_payment, GetPaymentRequest, GetPaymentResponse);
    absent!(
        payment,
        list_payments,
        ListPaymentsRequest,
        ListPaymentsResponse
    );
}

#[async_trait]
impl OrderingService for Participant {
    type WatchOrderStream = BoxStream<'static, Result<ordering::WatchOrderResponse, Status>>;

    async fn reject_order(
        &self,
        request: Request<ordering::RejectOrderRequest>,
    ) -> Result<Response<ordering::RejectOrderResponse>, Status> {
        let order = request.get_ref().order_id.clone();
        let rejection = request.get_ref().rejection.clone().unwrap_or_default();
        let note = format!(":{}", rejection.reason);
        self.serve(
            "RejectOrder",
            request,
            (&order, note),
            ordering::RejectOrderResponse::default(),
        )
        .await
    }

    effect!(
        ordering,
        confirm_order,
        ConfirmOrder,
        ConfirmOrderRequest,
        ConfirmOrderResponse
    );
    absent!(ordering, place_order, PlaceOrderRequest, PlaceOrderResponse);
    absent!(ordering, get_order, GetOrderRequest, GetOrderResponse);
    absent!(ordering, list_orders, ListOrdersRequest, ListOrdersResponse);
    absent!(
        ordering,
        cancel_order,
        CancelOrderRequest,
        CancelOrderResponse
    );

    async fn watch_order(
        &self,
        _: Request<ordering::WatchOrderRequest>,
    ) -> Result<Response<Self::WatchOrderStream>, Status> {
        Err(Status::unimplemented("not in tests"))
    }
}

/// Publishes an event as its service's relay would.
pub(super) async fn publish<M: ReflectMessage>(
    nats: &str,
    event_id: Uuid,
    aggregate: &str,
    event: &M,
) {
    let name = event.descriptor().full_name().to_owned();
    let policy = policy::event(&name).expect("an event of the contract");
    let stream = policy.publisher().to_uppercase();
    let jetstream = jetstream::new(async_nats::connect(nats).await.expect("the broker runs"));
    let config = jetstream::stream::Config {
        name: stream,
        subjects: vec![format!("{}.>", policy.publisher())],
        ..Default::default()
    };
    if jetstream.get_stream(&config.name).await.is_err() {
        // The orchestrator may make it at the same moment.
        let _ = jetstream.create_stream(config).await;
    }
    let mut headers = HeaderMap::new();
    for (header, value) in [
        ("Nats-Msg-Id", event_id.to_string()),
        ("ce-id", event_id.to_string()),
        ("ce-specversion", "1.0".to_owned()),
        ("ce-source", format!("/caravan/{}", policy.publisher())),
        ("ce-type", name.clone()),
        ("ce-subject", aggregate.to_owned()),
        ("ce-time", "2026-01-01T00:00:00Z".to_owned()),
        ("content-type", "application/protobuf".to_owned()),
    ] {
        headers.insert(header, value.as_str());
    }
    let sent = jetstream
        .publish_with_headers(
            policy.subject.clone(),
            headers,
            event.encode_to_vec().into(),
        )
        .await;
    sent.expect("sent").await.expect("acknowledged");
}

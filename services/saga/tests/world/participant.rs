//! Every participant in one server: it writes down durably what it did, behind the chassis' barrier,
//! and fails as the test says.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use alone::{Answer, Neighbour, wait::until};
use chassis::{
    Call, Caller, Classify, SagaOperation, SagaStep,
    call::{SAGA_EPOCH, SAGA_ID, SAGA_OPERATION, SAGA_STEP},
    db::{Db, Error},
    status,
};
use contracts::{
    DESCRIPTOR_POOL,
    caravan::{ordering::v1 as ordering, payment::v1 as payment},
};
use futures::future::BoxFuture;
use kit::{DatabaseUrl, Engine, database_url};
use prost::{Message, bytes::Bytes};
use prost_reflect::DynamicMessage;
use sea_orm::{ConnectionTrait, Statement};
use sea_orm_migration::prelude::*;
use tokio::sync::Notify;
use tonic::{Code, Status, async_trait, codegen::http::HeaderMap};

/// What becomes of one call.
#[derive(Clone, Debug)]
pub(crate) enum Fate {
    /// Refused with this status, before its unit of work begins.
    Status(Code, &'static str),
    /// Refused for this reason by its unit of work, behind the barrier.
    Refused(&'static str),
    /// Done, but the answer is lost.
    Lost,
    /// Done, and answered twice.
    Twice,
    /// Done once the test says so.
    Held(Arc<Notify>),
}

/// One call of a step, before or after its work.
#[derive(Clone, Debug)]
pub(crate) struct Visit {
    /// The step's name; `-` in front where it is undone.
    pub(crate) label: String,
    /// From 1: how often it has come for this order.
    pub(crate) number: usize,
    /// The work is done or refused, the answer is not sent.
    pub(crate) done: bool,
}

impl Visit {
    fn done(self) -> Self {
        Self { done: true, ..self }
    }
}

/// What becomes of a call where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It goes on.
    Fine,
    /// It breaks off.
    Lost,
    /// It is refused.
    Refused(Code),
}

/// Looks at every call for one order.
pub(crate) type Watcher = Arc<dyn Fn(Visit) -> BoxFuture<'static, Verdict> + Send + Sync>;

/// A running participant.
#[derive(Clone)]
pub(crate) struct Participant {
    pub(crate) url: String,
    shared: Arc<Shared>,
    _server: Arc<Neighbour>,
}

struct Shared {
    ledger: Db,
    _file: DatabaseUrl,
    fates: Mutex<HashMap<&'static str, VecDeque<Fate>>>,
    calls: Mutex<Vec<(String, i64)>>,
    /// Trace ids of the calls for each order, as they came.
    traces: Mutex<HashMap<String, Vec<String>>>,
    /// Methods and the reasons of their refusals, empty where there was none, once what they asked for is decided.
    answers: Mutex<Vec<(String, String)>>,
    /// By order.
    watchers: Mutex<HashMap<String, Watcher>>,
    /// By order and label.
    visits: Mutex<HashMap<(String, String), usize>>,
    /// By order and label: the last one.
    replies: Mutex<HashMap<(String, String), Bytes>>,
    /// AuthorizePayment answers this many bytes.
    talk_bytes: AtomicUsize,
}

/// One call.
struct Asked {
    method: String,
    step: SagaStep,
    order: String,
    trace: String,
    /// What the ledger tells of it.
    effect: String,
}

impl Participant {
    pub(crate) async fn start() -> Self {
        let file = database_url(Engine::Sqlite).expect("SQLite is always there");
        let ledger = Db::open::<Ledger>(&file).await.expect("the ledger opens");
        let shared = Arc::new(Shared {
            ledger,
            _file: file,
            fates: Mutex::default(),
            calls: Mutex::default(),
            traces: Mutex::default(),
            answers: Mutex::default(),
            watchers: Mutex::default(),
            visits: Mutex::default(),
            replies: Mutex::default(),
            talk_bytes: AtomicUsize::new(0),
        });
        let worker = shared.clone();
        let server = Neighbour::builder().otherwise(move |path, metadata, message| {
            let asked = Asked::read(&path, &metadata, message);
            let worker = worker.clone();
            // Goes on although the caller may have gone away: that is what late means.
            let work = tokio::spawn(async move { worker.serve(asked).await });
            async { work.await.expect("participants do not panic") }
        });
        let server = server.start().await;
        Self {
            url: server.url().to_owned(),
            shared,
            _server: Arc::new(server),
        }
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
            .filter(|(called, _)| called == method)
            .map(|(_, epoch)| *epoch)
            .collect()
    }

    /// The trace id of each call for an order, as they came.
    pub(crate) fn traces(&self, order: &str) -> Vec<String> {
        let traces = lock(&self.shared.traces);
        traces.get(order).cloned().unwrap_or_default()
    }

    /// Waits until a method was called this often.
    pub(crate) async fn called(&self, method: &str, times: usize) {
        until(&format!("{times} calls of {method}"), || async {
            let calls = self.calls(method).len();
            if calls >= times { Ok(()) } else { Err(calls) }
        })
        .await;
    }

    /// Waits until a method has decided this often, and answers the reasons of its refusals, empty where there was none.
    pub(crate) async fn answered(&self, method: &str, times: usize) -> Vec<String> {
        until(&format!("{times} answers of {method}"), || async {
            let answers = lock(&self.shared.answers);
            let answers = answers.iter().filter(|(answering, _)| answering == method);
            let reasons: Vec<_> = answers.map(|(_, reason)| reason.clone()).collect();
            if reasons.len() >= times {
                Ok(reasons)
            } else {
                Err(reasons)
            }
        })
        .await
    }

    /// The replies to the calls for an order, by label.
    pub(crate) fn replies(&self, order: &str) -> HashMap<String, Bytes> {
        let replies = lock(&self.shared.replies);
        let replies = replies.iter().filter(|((of, _), _)| of == order);
        replies
            .map(|((_, label), reply)| (label.clone(), reply.clone()))
            .collect()
    }

    /// Has somebody look at every call for an order.
    pub(crate) fn watch(&self, order: &str, watcher: Watcher) {
        lock(&self.shared.watchers).insert(order.to_owned(), watcher);
    }

    /// What was done for an order, in order: methods, and `Method:text` where there is a text to tell.
    pub(crate) async fn effects(&self, order: &str) -> Vec<String> {
        self.ledger("effect", order).await
    }

    /// What was done for an order, in order: steps by name, with `-` in front of what was undone.
    pub(crate) async fn labels(&self, order: &str) -> Vec<String> {
        self.ledger("label", order).await
    }

    async fn ledger(&self, column: &str, order: &str) -> Vec<String> {
        let read = self.shared.ledger.read();
        let sql = format!("SELECT {column} AS entry FROM effects WHERE order_id = $1 ORDER BY id");
        let statement =
            Statement::from_sql_and_values(read.get_database_backend(), sql, [order.into()]);
        let rows = read
            .query_all_raw(statement)
            .await
            .expect("the ledger reads");
        rows.iter()
            .map(|row| row.try_get("", "entry").expect("a text"))
            .collect()
    }
}

impl Shared {
    fn visit(&self, asked: &Asked) -> Visit {
        let label = asked.label();
        let mut visits = lock(&self.visits);
        let number = visits
            .entry((asked.order.clone(), label.clone()))
            .or_default();
        *number += 1;
        Visit {
            label,
            number: *number,
            done: false,
        }
    }

    async fn serve(&self, asked: Asked) -> Answer {
        lock(&self.calls).push((asked.method.clone(), asked.step.epoch));
        lock(&self.traces)
            .entry(asked.order.clone())
            .or_default()
            .push(asked.trace.clone());
        let visit = self.visit(&asked);
        let watcher = lock(&self.watchers).get(&asked.order).cloned();
        if let Some(watcher) = &watcher {
            match watcher(visit.clone()).await {
                Verdict::Fine => {}
                Verdict::Lost => return Answer::Lost,
                Verdict::Refused(code) => return refused(code, "REFUSED"),
            }
        }
        let fate = lock(&self.fates)
            .get_mut(&*asked.method)
            .and_then(VecDeque::pop_front);
        let result = match &fate {
            Some(Fate::Status(code, reason)) => {
                Err(status::with_reason(*code, reason, "as the test says"))
            }
            Some(Fate::Held(gate)) => {
                gate.notified().await;
                self.work(&asked).await
            }
            Some(Fate::Refused(rule)) => self.refuse(&asked, rule).await,
            Some(Fate::Lost | Fate::Twice) | None => self.work(&asked).await,
        };
        if let Ok(reply) = &result {
            let call = (asked.order.clone(), asked.label());
            lock(&self.replies).insert(call, reply.clone());
        }
        let reason = result
            .as_ref()
            .map_or_else(status::reason, |_| String::new());
        lock(&self.answers).push((asked.method.clone(), reason));
        if let Some(watcher) = watcher
            && watcher(visit.done()).await == Verdict::Lost
        {
            return Answer::Lost;
        }
        match (fate, result) {
            (Some(Fate::Lost), _) => Answer::Lost,
            (Some(Fate::Twice), Ok(reply)) => Answer::Twice(reply),
            (_, Ok(reply)) => Answer::Reply(self.talk(&asked, reply)),
            (_, Err(status)) => Answer::Refusal(Box::new(status)),
        }
    }

    /// Writes the effect down, behind the barrier.
    async fn work(&self, asked: &Asked) -> Result<Bytes, Status> {
        if asked.method != "AuthorizePayment" {
            return self.once(asked, ()).await;
        }
        let payment = payment::Payment {
            order_id: asked.order.clone(),
            ..Default::default()
        };
        let reply = payment::AuthorizePaymentResponse {
            payment: Some(payment),
        };
        self.once(asked, reply).await
    }

    /// The reply, with as much beside it as the test says.
    fn talk(&self, asked: &Asked, reply: Bytes) -> Bytes {
        let bytes = self.talk_bytes.load(Relaxed);
        if bytes == 0 || asked.method != "AuthorizePayment" {
            return reply;
        }
        let mut reply = payment::AuthorizePaymentResponse::decode(reply).expect("its reply");
        let payment = reply.payment.get_or_insert_default();
        payment.provider_reference = "x".repeat(bytes);
        reply.encode_to_vec().into()
    }

    /// Says no behind the barrier.
    async fn refuse(&self, asked: &Asked, rule: &'static str) -> Result<Bytes, Status> {
        let (call, unit) = (asked.call(), |_| async { Err::<(), _>(No::Rule(rule)) });
        let refused = self.ledger.once(&call, &(), unit).await;
        refused
            .map(|()| Bytes::new())
            .map_err(|no| status::from_error(&no))
    }

    async fn once<R: Message + Default + Clone>(
        &self,
        asked: &Asked,
        reply: R,
    ) -> Result<Bytes, Status> {
        let call = asked.call();
        let reply = &reply;
        let unit = |tx: chassis::db::Tx| async move {
            let sql = "INSERT INTO effects (order_id, effect, label) VALUES ($1, $2, $3)";
            let values = [&asked.order, &asked.effect, &asked.label()].map(|text| text.into());
            let backend = tx.get_database_backend();
            tx.execute_raw(Statement::from_sql_and_values(backend, sql, values))
                .await?;
            Ok(reply.clone())
        };
        let done: Result<R, Error> = self.ledger.once(&call, &(), unit).await;
        done.map(|reply| reply.encode_to_vec().into())
            .map_err(|error| status::from_error(&error))
    }
}

impl Asked {
    /// # Panics
    /// Where it is no call of a saga, or not about an order.
    fn read(path: &str, metadata: &HeaderMap, message: Bytes) -> Self {
        let (service, method) = path[1..].split_once('/').expect("/package.Service/Method");
        let service = DESCRIPTOR_POOL.get_service_by_name(service).expect(path);
        let called = service.methods().find(|known| known.name() == method);
        let input = called.expect(path).input();
        let request = DynamicMessage::decode(input, message.clone()).expect("the method's message");
        let order = request.get_field_by_name("order_id").expect("an order");
        let mut effect = method.to_owned();
        if method == "RejectOrder" {
            let request = ordering::RejectOrderRequest::decode(message).expect("just read");
            effect += &format!(":{}", request.rejection.unwrap_or_default().reason);
        }
        Self {
            method: method.to_owned(),
            step: saga_step(metadata),
            trace: trace_id(metadata),
            order: order.as_str().expect("a text").to_owned(),
            effect,
        }
    }

    fn call(&self) -> Call {
        Call {
            caller: Caller::Service {
                name: "saga".into(),
            },
            method: "/test/Test",
            idempotency_key: None,
            prefer_wait: None,
            saga: Some(self.step.clone()),
        }
    }

    fn label(&self) -> String {
        let sign = match self.step.operation {
            SagaOperation::Action => "",
            SagaOperation::Compensation => "-",
        };
        format!("{sign}{}", self.step.step)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn refused(code: Code, reason: &str) -> Answer {
    Answer::Refusal(Box::new(status::with_reason(
        code,
        reason,
        "as the test says",
    )))
}

/// The second part of a W3C `traceparent`; empty where a test calls by itself.
fn trace_id(metadata: &HeaderMap) -> String {
    let parent = metadata.get("traceparent").map(|value| value.to_str());
    let parent = parent.and_then(Result::ok).unwrap_or_default();
    parent.split('-').nth(1).unwrap_or_default().to_owned()
}

fn saga_step(metadata: &HeaderMap) -> SagaStep {
    let text = |key: &str| {
        let value = metadata.get(key).expect(key);
        value.to_str().expect("ASCII").to_owned()
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

/// Why a unit of work does nothing.
#[derive(Debug, thiserror::Error)]
enum No {
    #[error("as the test says")]
    Rule(&'static str),
    #[error(transparent)]
    Ledger(#[from] Error),
}

impl Classify for No {
    fn code(&self) -> Code {
        match self {
            Self::Rule(_) => Code::FailedPrecondition,
            Self::Ledger(error) => error.code(),
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Rule(rule) => rule,
            Self::Ledger(error) => error.reason(),
        }
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
        let sql = "CREATE TABLE effects (id INTEGER PRIMARY KEY, order_id TEXT NOT NULL, effect TEXT NOT NULL, label TEXT NOT NULL)";
        manager
            .get_connection()
            .execute_unprepared(sql)
            .await
            .map(drop)
    }
}

//! Every participant in one server: it writes down durably what it did, behind the chassis' barrier,
//! and fails as the test says.

mod asked;
mod ledger;
mod work;

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use alone::{Neighbour, wait::until};
use chassis::db::Db;
use futures::future::BoxFuture;
use kit::{DatabaseUrl, Engine, database_url};
use prost::bytes::Bytes;
use sea_orm::{ConnectionTrait, Statement};
use tokio::sync::Notify;
use tonic::Code;

use asked::Asked;
use ledger::Ledger;

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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

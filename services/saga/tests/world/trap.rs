//! Where an orchestrator is to die: at one call of one saga, or at the durable write beside it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use alone::{Engine, wait::until};
use rustix::process::{Pid, Signal, kill_process};
use sea_orm::{
    ConnectionTrait, Database, DatabaseConnection, SqliteTransactionMode, Statement,
    TransactionOptions, TransactionTrait,
};

use super::proxy::Proxy;

/// Where it dies, from a call's arrival at the participant to the durable write of its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The call has arrived, so its intent is durable; the work is not done.
    Arrived,
    /// The work is done and durable; the answer is not sent.
    Done,
    /// The answer is sent; the write of the outcome is not durable.
    Unwritten,
    /// The outcome is durable; the orchestrator has not learned of that.
    Written,
}

/// All of them.
pub(crate) const PHASES: [Phase; 4] = [
    Phase::Arrived,
    Phase::Done,
    Phase::Unwritten,
    Phase::Written,
];

/// On SQLite: for how long the orchestrator, which holds the answer and waits to write, is left to do what it can.
/// Nothing waits for this time to be enough: whatever it does meanwhile, it cannot write.
const HELD_FOR: Duration = Duration::from_millis(10);

/// An orchestrator, and the point at which it dies.
#[derive(Clone)]
pub(crate) struct Armed {
    pub(crate) pid: u32,
    pub(crate) phase: Phase,
    hit: Arc<AtomicBool>,
}

impl Armed {
    pub(crate) fn new(pid: u32, phase: Phase) -> Self {
        Self {
            pid,
            phase,
            hit: Arc::default(),
        }
    }

    /// SIGKILL, at once.
    pub(crate) fn kill(&self) {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process id"), Signal::KILL).expect("it runs");
        self.hit.store(true, SeqCst);
    }

    /// Waits until it is dead: a point that is never reached is a failure.
    pub(crate) async fn dead(&self, point: &impl std::fmt::Debug) {
        until(&format!("the orchestrator dies at {point:?}"), || async {
            self.hit.load(SeqCst).then_some(()).ok_or("it lives")
        })
        .await;
    }
}

/// What keeps an orchestrator from writing, or sees that it has written.
#[derive(Clone)]
pub(crate) enum Writes {
    /// SQLite: by the lock that every writer needs.
    Sqlite(DatabaseConnection),
    /// PostgreSQL: by the connection.
    Postgres(Proxy),
}

impl Writes {
    pub(crate) async fn of(engine: Engine, database: &str, proxy: Option<Proxy>) -> Self {
        match (engine, proxy) {
            (Engine::Postgres, Some(proxy)) => Self::Postgres(proxy),
            _ => Self::Sqlite(Database::connect(database).await.expect("the same file")),
        }
    }

    /// From now on the next durable write of a saga is the last thing that the orchestrator does, or tries to do.
    /// Answers once that is sure.
    pub(crate) async fn arm(&self, armed: Armed) {
        match self {
            Self::Postgres(proxy) => proxy.arm(armed),
            Self::Sqlite(file) if armed.phase == Phase::Unwritten => {
                lock_out(file, armed, HELD_FOR).await;
            }
            Self::Sqlite(file) => {
                let (before, file) = (records(file).await, file.clone());
                tokio::spawn(async move {
                    while records(&file).await == before {
                        tokio::task::yield_now().await;
                    }
                    armed.kill();
                });
            }
        }
    }
}

/// From now on an orchestrator over this SQLite file writes nothing, and after this time it dies.
pub(crate) async fn lock_out(file: &DatabaseConnection, armed: Armed, held_for: Duration) {
    let immediate = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..Default::default()
    };
    let lock = file
        .begin_with_options(immediate)
        .await
        .expect("the lock is free in a moment");
    tokio::spawn(async move {
        tokio::time::sleep(held_for).await;
        armed.kill();
        lock.rollback().await.expect("the lock is given back");
    });
}

/// Grows with every durable write of a saga, and with every claim.
async fn records(file: &DatabaseConnection) -> i64 {
    let sql = "SELECT COALESCE(SUM(records), 0) + COALESCE(SUM(epoch), 0) AS total FROM sagas";
    let statement = Statement::from_string(file.get_database_backend(), sql);
    let row = file.query_one_raw(statement).await.expect("it reads");
    let row = row.expect("one row");
    row.try_get("", "total").expect("a number")
}

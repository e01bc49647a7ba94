//! The handle that a unit of work writes through.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use sea_orm::{
    ConnectionTrait, DbBackend, DbErr, ExecResult, QueryResult, Statement, prelude::async_trait,
};

use super::{
    Error, deferred,
    error::{is_connection_broken, is_lost_race},
    link::Link,
};

/// A unit of work that is under way. Store functions take `&Tx`.
///
/// Nothing written through it is kept before `Db::write` has answered `Ok`.
#[derive(Clone, Debug)]
pub struct Tx {
    link: Arc<Link>,
    notes: Arc<Notes>,
}

/// What the unit of work did, for whoever commits it.
#[derive(Debug, Default)]
pub(super) struct Notes {
    lost_race: AtomicBool,
    lost_connection: AtomicBool,
    failed: AtomicBool,
    wrote_events: AtomicBool,
    changed: AtomicBool,
    audited: AtomicBool,
    ended: AtomicBool,
    /// The transaction holds the claim of the unit's event already.
    claimed: bool,
    /// To be written with the commit, as JSON. On PostgreSQL.
    deferred: Mutex<Vec<String>>,
}

impl Notes {
    pub(super) fn lost_race(&self) -> bool {
        self.lost_race.load(Relaxed)
    }

    /// Whether the connection was found to be broken.
    pub(super) fn lost_connection(&self) -> bool {
        self.lost_connection.load(Relaxed)
    }

    /// Whether a statement failed. After that PostgreSQL keeps nothing of the transaction, whatever the unit makes of it.
    pub(super) fn failed(&self) -> bool {
        self.failed.load(Relaxed)
    }

    pub(super) fn wrote_events(&self) -> bool {
        self.wrote_events.load(Relaxed)
    }

    /// Whether the unit holds the audit record of its call.
    pub(super) fn audited(&self) -> bool {
        self.audited.load(Relaxed)
    }

    /// Takes the events that are to be written with the commit.
    pub(super) fn take_deferred(&self) -> Vec<String> {
        let mut deferred = self.deferred.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut deferred)
    }

    /// A handle that the unit kept is of no use from now on.
    pub(super) fn end(&self) {
        self.ended.store(true, Relaxed);
    }
}

impl Tx {
    pub(super) fn new(link: Arc<Link>) -> (Self, Arc<Notes>) {
        Self::with(link, Notes::default())
    }

    /// For a unit whose event was claimed in the same transaction.
    pub(super) fn claimed(link: Arc<Link>) -> (Self, Arc<Notes>) {
        let notes = Notes {
            claimed: true,
            ..Notes::default()
        };
        Self::with(link, notes)
    }

    fn with(link: Arc<Link>, notes: Notes) -> (Self, Arc<Notes>) {
        let notes = Arc::new(notes);
        let tx = Self {
            link,
            notes: notes.clone(),
        };
        (tx, notes)
    }

    pub(super) fn is_claimed(&self) -> bool {
        self.notes.claimed
    }

    /// Wakes the relay after the commit.
    pub(crate) fn note_event(&self) {
        self.notes.wrote_events.store(true, Relaxed);
    }

    /// Whether an event with a payload of so many bytes is left to the commit: a small one, on PostgreSQL.
    pub(crate) fn defers(&self, payload_bytes: usize) -> bool {
        payload_bytes <= deferred::MAX_PAYLOAD_BYTES
            && self.get_database_backend() == DbBackend::Postgres
    }

    /// Leaves an event to the commit.
    pub(crate) fn defer(&self, event: deferred::Event<'_>) -> Result<(), Error> {
        let json = serde_json::to_string(&event);
        let json = json.map_err(|error| Error::Corrupt(error.to_string()))?;
        let deferred = self.notes.deferred.lock();
        deferred.unwrap_or_else(PoisonError::into_inner).push(json);
        self.notes.changed.store(true, Relaxed);
        Ok(())
    }

    /// Writes the events that were left to the commit, so that others can stand behind them.
    pub(crate) async fn write_deferred(&self) -> Result<(), DbErr> {
        let events = self.notes.take_deferred();
        if !events.is_empty() {
            let sql = deferred::then(&events, "");
            self.execute_unprepared(&sql).await?;
        }
        Ok(())
    }

    /// Lets the unit of work run once more where its engine does so after a lost race.
    pub(crate) fn note_lost_race(&self) {
        self.notes.lost_race.store(true, Relaxed);
    }

    /// Whether a statement of the unit has changed a row.
    pub(crate) fn has_changed(&self) -> bool {
        self.notes.changed.load(Relaxed)
    }

    /// Notes that the unit holds the audit record of its call.
    pub(crate) fn note_audited(&self) {
        self.notes.audited.store(true, Relaxed);
    }

    /// A statement of this database's dialect; parameters are `$1`, `$2`, ...
    pub(crate) fn statement(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = sea_orm::Value>,
    ) -> Statement {
        Statement::from_sql_and_values(self.get_database_backend(), sql, values)
    }

    /// The connection, as long as it is this unit's.
    fn link(&self) -> Result<&Link, DbErr> {
        if self.notes.ended.load(Relaxed) {
            return Err(DbErr::Custom("this unit of work is over".into()));
        }
        Ok(&self.link)
    }

    fn noted_change(&self, result: Result<ExecResult, DbErr>) -> Result<ExecResult, DbErr> {
        if result.as_ref().is_ok_and(|done| done.rows_affected() > 0) {
            self.notes.changed.store(true, Relaxed);
        }
        self.noted(result)
    }

    async fn rows(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        // What changes rows and answers them.
        let may_change = !statement.sql.starts_with("SELECT");
        let rows = self.noted(self.link()?.query(statement).await)?;
        if may_change && !rows.is_empty() {
            self.notes.changed.store(true, Relaxed);
        }
        Ok(rows)
    }

    fn noted<T>(&self, result: Result<T, DbErr>) -> Result<T, DbErr> {
        if let Err(error) = &result {
            self.notes.failed.store(true, Relaxed);
            if is_lost_race(error) {
                self.note_lost_race();
            }
            if is_connection_broken(error) {
                self.notes.lost_connection.store(true, Relaxed);
            }
        }
        result
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for Tx {
    fn get_database_backend(&self) -> DbBackend {
        self.link.backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.noted_change(self.link()?.execute(statement).await)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.noted_change(self.link()?.execute_unprepared(sql).await)
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        Ok(self.rows(statement).await?.into_iter().next())
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.rows(statement).await
    }
}

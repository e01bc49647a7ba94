//! The handle that a unit of work writes through.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use sea_orm::{
    ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult, Statement,
    prelude::async_trait,
};

use super::error::is_lost_race;

/// A unit of work that is under way. Store functions take `&Tx`.
///
/// Nothing written through it is kept before `Db::write` has answered `Ok`.
#[derive(Clone, Debug)]
pub struct Tx {
    transaction: Arc<DatabaseTransaction>,
    notes: Arc<Notes>,
}

/// What the unit of work did, for whoever commits it.
#[derive(Debug, Default)]
pub(super) struct Notes {
    lost_race: AtomicBool,
    wrote_events: AtomicBool,
    changed: AtomicBool,
    audited: AtomicBool,
}

impl Notes {
    pub(super) fn lost_race(&self) -> bool {
        self.lost_race.load(Relaxed)
    }

    pub(super) fn wrote_events(&self) -> bool {
        self.wrote_events.load(Relaxed)
    }

    /// Whether the unit holds the audit record of its call.
    pub(super) fn audited(&self) -> bool {
        self.audited.load(Relaxed)
    }
}

impl Tx {
    pub(super) fn new(transaction: Arc<DatabaseTransaction>) -> (Self, Arc<Notes>) {
        let notes = Arc::new(Notes::default());
        let tx = Self {
            transaction,
            notes: notes.clone(),
        };
        (tx, notes)
    }

    /// Wakes the relay after the commit.
    pub(crate) fn note_event(&self) {
        self.notes.wrote_events.store(true, Relaxed);
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

    /// What is no query changes something, as far as can be seen from outside.
    fn note_change(&self, sql: &str) {
        if !sql.starts_with("SELECT") {
            self.notes.changed.store(true, Relaxed);
        }
    }

    fn noted<T>(&self, result: Result<T, DbErr>) -> Result<T, DbErr> {
        if result.as_ref().is_err_and(is_lost_race) {
            self.note_lost_race();
        }
        result
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for Tx {
    fn get_database_backend(&self) -> DbBackend {
        self.transaction.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let result = self.noted(self.transaction.execute_raw(statement).await)?;
        if result.rows_affected() > 0 {
            self.notes.changed.store(true, Relaxed);
        }
        Ok(result)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.note_change(sql);
        self.noted(self.transaction.execute_unprepared(sql).await)
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.note_change(&statement.sql);
        self.noted(self.transaction.query_one_raw(statement).await)
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.note_change(&statement.sql);
        self.noted(self.transaction.query_all_raw(statement).await)
    }
}

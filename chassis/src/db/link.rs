//! Statements over one connection that writes.
//!
//! The pools and transactions of sea-orm take more messages than the statements: to SQLite's thread one for each savepoint and
//! one for the end of each result, to PostgreSQL a round trip after each transaction that only asks whether the connection is
//! well. Here a unit of work costs what it says.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
    thread,
    time::{Duration, Instant},
};

use futures::{Stream, TryStreamExt as _};
use sea_orm::{
    DbBackend, DbErr, ExecResult, QueryResult, RuntimeErr, Statement, Values,
    sqlx::{
        self, AssertSqlSafe, Either, Executor as _, PgConnection, SqliteConnection, query_with,
    },
};
use sea_query_sqlx::SqlxValues;
use tokio::sync::Mutex;

/// How long a thread waits for SQLite's before it turns to other tasks. Most statements take less than it takes to put a
/// thread to sleep and to wake it.
const EAGER_WAIT: Duration = Duration::from_micros(50);

/// A connection that a unit of work writes through.
pub(super) struct Link {
    backend: DbBackend,
    open: Mutex<Open>,
}

enum Open {
    Sqlite {
        connection: SqliteConnection,
        /// Runs before the next statement, in the same message.
        before: Option<Before>,
    },
    Postgres(PgConnection),
}

/// Statements without parameters and without results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Before {
    /// Each ends with a semicolon.
    pub(super) sql: &'static str,
    /// How many there are.
    pub(super) statements: usize,
}

/// What a statement came to.
struct Answer {
    rows: Vec<QueryResult>,
    done: Option<ExecResult>,
}

impl Link {
    pub(super) fn sqlite(connection: SqliteConnection) -> Self {
        Self {
            backend: DbBackend::Sqlite,
            open: Mutex::new(Open::Sqlite {
                connection,
                before: None,
            }),
        }
    }

    pub(super) fn postgres(connection: PgConnection) -> Self {
        Self {
            backend: DbBackend::Postgres,
            open: Mutex::new(Open::Postgres(connection)),
        }
    }

    pub(super) fn backend(&self) -> DbBackend {
        self.backend
    }

    /// Lets `before` run with the next statement. On SQLite.
    pub(super) async fn before_next(&self, first: Before) {
        if let Open::Sqlite { before, .. } = &mut *self.open.lock().await {
            *before = Some(first);
        }
    }

    /// Takes back what [`Link::before_next`] said. Whether it was still waiting.
    pub(super) async fn take_before(&self) -> bool {
        match &mut *self.open.lock().await {
            Open::Sqlite { before, .. } => before.take().is_some(),
            Open::Postgres(_) => false,
        }
    }

    /// Runs a statement for its effect.
    pub(super) async fn execute(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let answer = self.run(statement).await.map_err(exec_error)?;
        answer
            .done
            .ok_or_else(|| DbErr::Custom("a statement ended without a result".into()))
    }

    /// Runs a statement for its rows.
    pub(super) async fn query(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let answer = self.run(statement).await.map_err(query_error)?;
        Ok(answer.rows)
    }

    /// Runs statements without parameters, which are not kept prepared and do not wait for the disk.
    pub(super) async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        match self.backend {
            DbBackend::Sqlite => eagerly(self.execute_patiently(sql)).await,
            _ => self.execute_patiently(sql).await,
        }
    }

    /// The same for what waits for the disk.
    pub(super) async fn execute_patiently(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let result = match &mut *self.open.lock().await {
            Open::Sqlite { connection, before } => {
                let before = before.take().map_or("", |before| before.sql);
                let sql = AssertSqlSafe(format!("{before}{sql}"));
                connection.execute(sql).await.map(ExecResult::from)
            }
            Open::Postgres(connection) => {
                let executed = connection.execute(AssertSqlSafe(sql)).await;
                executed.map(ExecResult::from)
            }
        };
        result.map_err(exec_error)
    }

    async fn run(&self, statement: Statement) -> Result<Answer, sqlx::Error> {
        let Statement { sql, values, .. } = statement;
        let values = SqlxValues(values.unwrap_or(Values(Vec::new())));
        match &mut *self.open.lock().await {
            Open::Sqlite { connection, before } => {
                let several = is_several(&sql);
                let (sql, statements) = match before.take() {
                    Some(before) => (format!("{}{sql}", before.sql), before.statements + 1),
                    None => (sql, 1),
                };
                let statements = (!several).then_some(statements);
                let query = query_with(AssertSqlSafe(sql), values);
                eagerly(collect(connection.fetch_many(query), statements)).await
            }
            Open::Postgres(connection) => {
                let query = query_with(AssertSqlSafe(sql), values);
                collect(connection.fetch_many(query), None).await
            }
        }
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Link").field(&self.backend).finish()
    }
}

/// Reads until the last of `statements` has ended; the driver's word that nothing comes behind it is one more message. Where
/// their number is not known, until that.
async fn collect<D, R>(
    mut items: impl Stream<Item = Result<Either<D, R>, sqlx::Error>> + Unpin,
    statements: Option<usize>,
) -> Result<Answer, sqlx::Error>
where
    ExecResult: From<D>,
    QueryResult: From<R>,
{
    let (mut rows, mut done, mut ended) = (Vec::new(), None, 0);
    while statements != Some(ended)
        && let Some(item) = items.try_next().await?
    {
        match item {
            Either::Left(result) => {
                done = Some(ExecResult::from(result));
                ended += 1;
            }
            Either::Right(row) => rows.push(QueryResult::from(row)),
        }
    }
    Ok(Answer { rows, done })
}

/// Asks `future` again and again for a while, and lets other threads go first in between.
async fn eagerly<F: Future>(future: F) -> F::Output {
    let (mut future, began) = (pin!(future), Instant::now());
    poll_fn(|context| {
        loop {
            match future.as_mut().poll(context) {
                Poll::Pending if began.elapsed() < EAGER_WAIT => thread::yield_now(),
                polled => return polled,
            }
        }
    })
    .await
}

/// Whether a text may hold more than one statement.
fn is_several(sql: &str) -> bool {
    sql.trim_end_matches([';', ' ', '\n']).contains(';')
}

fn exec_error(error: sqlx::Error) -> DbErr {
    DbErr::Exec(RuntimeErr::SqlxError(Arc::new(error)))
}

fn query_error(error: sqlx::Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(Arc::new(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_semicolon_at_the_end_makes_no_second_statement() {
        assert!(!is_several("SELECT 1;\n"));
        assert!(is_several("SELECT 1; SELECT 2"));
        assert!(is_several("SELECT ';' AS text"), "better once too often");
    }
}

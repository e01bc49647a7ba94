//! Queries outside of units of work.

use std::{future::Future, sync::Arc};

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, DbErr, ExecResult, QueryResult, Statement,
    prelude::async_trait, sqlx::postgres::PgConnectOptions,
};

use super::{
    error,
    link::Link,
    pool::{Pool, State},
};

/// Connections that only read on PostgreSQL.
const MAX_READERS: usize = 8;
/// What a connection does whose reader went away: it reads to the end of the answer that nobody wanted.
const RESET: &str = "SELECT 1";

/// Connections that only read. Store functions take it as `&impl ConnectionTrait`.
pub struct Reader {
    kind: Kind,
}

enum Kind {
    Sqlite(DatabaseConnection),
    /// One round trip for each query.
    Postgres(Arc<Pool>),
}

impl Reader {
    pub(super) fn sqlite(pool: DatabaseConnection) -> Self {
        Self {
            kind: Kind::Sqlite(pool),
        }
    }

    pub(super) fn postgres(options: PgConnectOptions) -> Self {
        Self {
            kind: Kind::Postgres(Pool::new(options, MAX_READERS, RESET)),
        }
    }

    /// The engine, also without [`ConnectionTrait`] in scope.
    pub fn get_database_backend(&self) -> DbBackend {
        match self.kind {
            Kind::Sqlite(_) => DbBackend::Sqlite,
            Kind::Postgres(_) => DbBackend::Postgres,
        }
    }
}

/// Runs a query on a connection of the pool, on another one where that was broken while it waited.
async fn on_any<T, F>(pool: &Arc<Pool>, query: impl Fn(Arc<Link>) -> F) -> Result<T, DbErr>
where
    F: Future<Output = Result<T, DbErr>>,
{
    loop {
        let lease = pool.lease().await?;
        match query(lease.link().clone()).await {
            Ok(answer) => {
                lease.give_back(State::Plain);
                return Ok(answer);
            }
            Err(error) if error::is_connection_broken(&error) && lease.waited.is_some() => {
                lease.close();
            }
            Err(error) if error::is_refusal(&error) => {
                lease.give_back(State::Plain);
                return Err(error);
            }
            Err(error) => {
                lease.close();
                return Err(error);
            }
        }
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for Reader {
    fn get_database_backend(&self) -> DbBackend {
        Reader::get_database_backend(self)
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        match &self.kind {
            Kind::Sqlite(pool) => pool.execute_raw(statement).await,
            Kind::Postgres(pool) => {
                let statement = &statement;
                on_any(
                    pool,
                    |link| async move { link.execute(statement.clone()).await },
                )
                .await
            }
        }
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        match &self.kind {
            Kind::Sqlite(pool) => pool.execute_unprepared(sql).await,
            Kind::Postgres(pool) => {
                on_any(
                    pool,
                    |link| async move { link.execute_unprepared(sql).await },
                )
                .await
            }
        }
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        match &self.kind {
            Kind::Sqlite(pool) => pool.query_one_raw(statement).await,
            Kind::Postgres(_) => Ok(self.query_all_raw(statement).await?.into_iter().next()),
        }
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        match &self.kind {
            Kind::Sqlite(pool) => pool.query_all_raw(statement).await,
            Kind::Postgres(pool) => {
                let statement = &statement;
                on_any(
                    pool,
                    |link| async move { link.query(statement.clone()).await },
                )
                .await
            }
        }
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_tuple("Reader")
            .field(&self.get_database_backend())
            .finish()
    }
}

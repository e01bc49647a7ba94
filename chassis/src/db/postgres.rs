//! Units of work on PostgreSQL: transactions of their own, repeated after a lost race.

use std::{
    collections::VecDeque,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use sea_orm::{
    ConnAcquireErr, DbErr, RuntimeErr,
    sqlx::{self, ConnectOptions as _, PgConnection, postgres::PgConnectOptions},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    Error, error,
    link::Link,
    metrics,
    tx::{Notes, Tx},
};

/// Connections that write: as many commits can share an fsync of PostgreSQL's log.
pub(super) const MAX_WRITERS: usize = 32;
/// Longest wait for a free connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection that nobody needs is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(600);
/// Most tries of a unit of work that PostgreSQL gave up in favour of another one.
const MAX_TRIES: u32 = 5;

/// The writers of one database.
pub(super) struct Writers {
    shared: Arc<Shared>,
}

struct Shared {
    options: PgConnectOptions,
    places: Arc<Semaphore>,
    /// Not tested before use, which would cost a round trip for each unit of work: a broken one is noticed by its BEGIN.
    /// The one that was used last stands last, with the time since which it waits.
    idle: Mutex<VecDeque<(Instant, PgConnection)>>,
}

/// A transaction that has begun. Dropped on the way it is undone.
struct Begun {
    shared: Arc<Shared>,
    link: Option<Arc<Link>>,
    place: Option<OwnedSemaphorePermit>,
}

impl Writers {
    pub(super) fn new(options: PgConnectOptions) -> Self {
        Self {
            shared: Arc::new(Shared {
                options: options.disable_statement_logging(),
                places: Arc::new(Semaphore::new(MAX_WRITERS)),
                idle: Mutex::default(),
            }),
        }
    }

    /// Runs a unit of work and answers once the disk has it, or with the unit's own error once it is undone.
    pub(super) async fn write<T, E, F, Fut>(&self, mut unit: F) -> Result<(T, Arc<Notes>), E>
    where
        E: From<Error>,
        F: FnMut(Tx) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let mut tries = 1;
        loop {
            let begun = self.begin().await.map_err(Error::from)?;
            let (tx, notes) = Tx::new(begun.link().clone());
            let result = unit(tx).await;
            notes.end();
            let error = match result {
                // PostgreSQL answers the COMMIT of a failed transaction with a friendly ROLLBACK.
                Ok(_) if notes.failed() => {
                    let _ = begun.end("ROLLBACK").await;
                    if !notes.lost_race() {
                        return Err(Error::FailedStatement.into());
                    }
                    Error::Conflict.into()
                }
                Ok(value) => match begun.end("COMMIT").await {
                    Ok(()) => {
                        metrics::commit();
                        metrics::unit();
                        return Ok((value, notes));
                    }
                    Err(error) if error::is_lost_race(&error) => Error::Conflict.into(),
                    Err(error) => return Err(Error::Commit(Arc::new(error)).into()),
                },
                Err(error) => {
                    // A connection that cannot even roll back is broken; the unit's error says more.
                    let _ = begun.end("ROLLBACK").await;
                    if !notes.lost_race() {
                        return Err(error);
                    }
                    error
                }
            };
            if tries == MAX_TRIES {
                return Err(error);
            }
            tries += 1;
        }
    }

    /// Begins a transaction, on another connection where the one at hand was broken while it waited: nothing has run yet.
    async fn begin(&self) -> Result<Begun, DbErr> {
        let shared = &self.shared;
        let place = tokio::time::timeout(ACQUIRE_TIMEOUT, shared.places.clone().acquire_owned())
            .await
            .ok()
            .and_then(Result::ok)
            .ok_or(DbErr::ConnectionAcquire(ConnAcquireErr::Timeout))?;
        loop {
            let idle = shared.idle().pop_back();
            let is_new = idle.is_none();
            let connection = match idle {
                Some((_, connection)) => connection,
                None => shared.connect().await?,
            };
            let link = Link::postgres(connection);
            match link.execute_unprepared("BEGIN").await {
                Err(error) if error::is_connection_broken(&error) && !is_new => {}
                Err(error) => return Err(error),
                Ok(_) => {
                    return Ok(Begun {
                        shared: shared.clone(),
                        link: Some(Arc::new(link)),
                        place: Some(place),
                    });
                }
            }
        }
    }
}

impl Shared {
    async fn connect(&self) -> Result<PgConnection, DbErr> {
        let failed = |error: sqlx::Error| DbErr::Conn(RuntimeErr::SqlxError(error.into()));
        tokio::time::timeout(ACQUIRE_TIMEOUT, self.options.connect())
            .await
            .map_err(|_| DbErr::ConnectionAcquire(ConnAcquireErr::Timeout))?
            .map_err(failed)
    }

    fn give_back(&self, link: Arc<Link>) {
        // A unit of work that kept its handle, which is of no use any more, keeps the connection: it is closed with it.
        if let Some(connection) = Arc::into_inner(link).and_then(Link::into_postgres) {
            let mut idle = self.idle();
            idle.push_back((Instant::now(), connection));
            if let Some((since, _)) = idle.front()
                && since.elapsed() > IDLE_TIMEOUT
            {
                idle.pop_front();
            }
        }
    }

    fn idle(&self) -> MutexGuard<'_, VecDeque<(Instant, PgConnection)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Begun {
    fn link(&self) -> &Arc<Link> {
        self.link.as_ref().expect("taken only when it ends")
    }

    /// Ends the transaction. The connection serves the next one, unless it failed.
    async fn end(mut self, how: &str) -> Result<(), DbErr> {
        self.link().execute_unprepared(how).await?;
        if let Some(link) = self.link.take() {
            self.shared.give_back(link);
        }
        Ok(())
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let (Some(link), Ok(runtime)) = (self.link.take(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        let (shared, place) = (self.shared.clone(), self.place.take());
        runtime.spawn(async move {
            // Where it fails the connection is closed, and its server undoes what it has begun.
            if link.execute_unprepared("ROLLBACK").await.is_ok() {
                shared.give_back(link);
            }
            drop(place);
        });
    }
}

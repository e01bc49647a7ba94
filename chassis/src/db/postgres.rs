//! Units of work on PostgreSQL: transactions of their own, repeated after a lost race.
//!
//! Where units follow upon each other the COMMIT of one begins the transaction of the next (`COMMIT AND CHAIN`), which saves
//! it the round trip of a BEGIN. A transaction that begun so and that nobody uses is ended soon.

use std::{future::Future, sync::Arc, time::Duration};

use sea_orm::{DbErr, sqlx::postgres::PgConnectOptions};
use tokio::{sync::Notify, task::JoinHandle};

use super::{
    Error,
    batch::{Batches, Claim},
    deferred, error, metrics,
    pool::{Lease, Pool, State},
    tx::{Notes, Tx},
};

/// Connections that write: as many commits can share an fsync of PostgreSQL's log.
const MAX_WRITERS: usize = 32;
/// Most tries of a unit of work that PostgreSQL gave up in favour of another one.
const MAX_TRIES: u32 = 5;
/// A unit that begins so soon after the last one on its connection lets a next one be expected as soon.
const EXPECTED_WITHIN: Duration = Duration::from_millis(10);
/// Most transactions that begin ahead of their units.
const MAX_BEGUN: usize = 8;
/// How long they wait for them.
const BEGUN_FOR: Duration = Duration::from_millis(20);

/// The writers of one database.
pub(super) struct Writers {
    pool: Arc<Pool>,
    batches: Batches,
    begun: Arc<Notify>,
    ender: JoinHandle<()>,
}

/// A transaction that has begun. Dropped on the way it is undone.
struct Begun {
    lease: Lease,
    /// It began with the COMMIT of the one before.
    ahead: bool,
    /// Another one is expected to follow.
    next_expected: bool,
}

impl Writers {
    pub(super) fn start(options: PgConnectOptions) -> Self {
        let pool = Pool::new(options.clone(), MAX_WRITERS, "ROLLBACK");
        let begun = Arc::new(Notify::new());
        Self {
            batches: Batches::start(options),
            ender: tokio::spawn(end_unused(pool.clone(), begun.clone())),
            pool,
            begun,
        }
    }

    /// As [`Writers::write`], in a transaction that is shared with other claims where some are under way.
    pub(super) async fn claim<T, E, F, Fut>(
        &self,
        claim: &Claim,
        mut unit: F,
    ) -> Result<(T, Arc<Notes>), E>
    where
        E: From<Error>,
        F: FnMut(Tx) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let under_way = self.batches.enter();
        if !under_way.is_only
            && let Some(done) = self.batches.write(claim, &mut unit).await
        {
            return Ok(done);
        }
        self.write(unit).await
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
            let (tx, notes) = Tx::new(begun.lease.link().clone());
            let result = unit(tx).await;
            notes.end();
            if begun.ahead && notes.lost_connection() {
                // It was broken while it waited, as a BEGIN would have told. Nothing of the unit is kept anywhere.
                begun.lease.close();
                self.pool.close_begun();
                continue;
            }
            let error = match result {
                // PostgreSQL answers the COMMIT of a failed transaction with a friendly ROLLBACK.
                Ok(_) if notes.failed() => {
                    let _ = self.undo(begun).await;
                    if !notes.lost_race() {
                        return Err(Error::FailedStatement.into());
                    }
                    Error::Conflict.into()
                }
                Ok(value) => match self.commit(begun, &notes.take_deferred()).await {
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
                    let _ = self.undo(begun).await;
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
        loop {
            let lease = self.pool.lease().await?;
            let (state, waited) = lease.waited.unwrap_or((State::Plain, Duration::MAX));
            let ahead = state == State::Begun;
            if !ahead {
                let begin = match lease.waited {
                    Some(_) => "BEGIN",
                    None => deferred::BEGIN_FIRST,
                };
                match lease.link().execute_unprepared(begin).await {
                    Ok(_) => {}
                    Err(error) => {
                        let was_idle = lease.waited.is_some();
                        lease.close();
                        if was_idle && error::is_connection_broken(&error) {
                            continue;
                        }
                        return Err(error);
                    }
                }
            }
            return Ok(Begun {
                lease,
                ahead,
                next_expected: waited < EXPECTED_WITHIN,
            });
        }
    }

    /// Writes what the unit has left to its commit, and commits. The connection serves the next unit, unless it failed.
    async fn commit(&self, begun: Begun, events: &[String]) -> Result<(), DbErr> {
        if begun.next_expected && self.pool.begun() < MAX_BEGUN {
            end(begun.lease, events, "COMMIT AND CHAIN", State::Begun).await?;
            self.begun.notify_one();
            return Ok(());
        }
        end(begun.lease, events, "COMMIT", State::Plain).await
    }

    async fn undo(&self, begun: Begun) -> Result<(), DbErr> {
        end(begun.lease, &[], "ROLLBACK", State::Plain).await
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        self.ender.abort();
    }
}

async fn end(lease: Lease, events: &[String], how: &str, state: State) -> Result<(), DbErr> {
    let sql = deferred::then(events, how);
    match lease.link().execute_unprepared(&sql).await {
        Ok(_) => {
            lease.give_back(state);
            Ok(())
        }
        Err(error) => {
            lease.close();
            Err(error)
        }
    }
}

/// Ends transactions that began ahead of units which did not come.
async fn end_unused(pool: Arc<Pool>, begun: Arc<Notify>) {
    loop {
        begun.notified().await;
        while pool.begun() > 0 {
            tokio::time::sleep(BEGUN_FOR).await;
            while let Some(lease) = pool.lease_begun(BEGUN_FOR) {
                // Where it fails the connection is closed.
                let _ = end(lease, &[], "ROLLBACK", State::Plain).await;
            }
        }
    }
}

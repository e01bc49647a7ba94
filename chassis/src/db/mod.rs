//! The unit of work.
//!
//! [`Db::write`] is the only way to change a database. State, outbox rows, inbox claim, saga barrier and
//! stored reply commit together or not at all. On SQLite concurrent units share a commit ([`writer`]); on
//! PostgreSQL a unit is a transaction that is repeated after a lost race ([`postgres`]), and only those that handle events
//! share some ([`batch`]). No network call belongs inside.

mod batch;
mod checkpoint;
mod claim;
pub(crate) mod deferred;
mod error;
mod hold;
mod link;
mod metrics;
mod migrations;
mod once;
mod open;
mod pool;
mod postgres;
mod read;
mod retention;
mod tx;
mod writer;

use std::{future::Future, sync::Arc};

use sea_orm::{ConnectionTrait, DbErr};
use sea_orm_migration::MigratorTrait;
use tokio::sync::Notify;

pub use error::Error;
pub(crate) use hold::Hold;
pub use once::{amend_reply, fence};
pub use read::Reader;
pub use tx::Tx;

use crate::{audit, events::Registry};
use batch::Claim;
use hold::Holds;
use postgres::Writers;
use writer::Writer;

/// A service's database. Cheap to clone.
#[derive(Clone)]
pub struct Db {
    shared: Arc<Shared>,
}

struct Shared {
    engine: Engine,
    read: Reader,
    events: Notify,
    holds: Holds,
    consumers: Registry,
}

enum Engine {
    Sqlite(Writer),
    Postgres(Writers),
}

impl Db {
    /// Opens the database at `url` (`sqlite:PATH` or `postgres://...`) and migrates it: the chassis' tables,
    /// then the service's.
    ///
    /// # Errors
    /// The database cannot be reached, a migration fails, or the schema is newer than this program.
    pub async fn open<M: MigratorTrait>(url: &str) -> Result<Self, DbErr> {
        let (engine, read) = if url.starts_with("sqlite:") {
            let pools = open::sqlite::<M>(url, checkpoint::LAST_RESORT_PAGES).await?;
            (Engine::Sqlite(pools.write), pools.read)
        } else {
            let pools = open::postgres::<M>(url).await?;
            (Engine::Postgres(pools.write), pools.read)
        };
        Ok(Self {
            shared: Arc::new(Shared {
                engine,
                read,
                events: Notify::new(),
                holds: Holds::new(url),
                consumers: Registry::default(),
            }),
        })
    }

    /// For queries outside of units of work. It sees what is committed.
    pub fn read(&self) -> &Reader {
        &self.shared.read
    }

    /// Runs a unit of work and answers once the disk has it.
    ///
    /// `unit` may run more than once (PostgreSQL gives up one of two that collide), so it borrows what it
    /// captures. Its own error undoes it, and nothing else. What the contract wants remembered of the call under way
    /// ([`audit`]) becomes part of the first unit that changes something.
    ///
    /// # Errors
    /// The unit's own, or an [`Error`]: the commit failed, the queue is full, the unit took too long.
    pub async fn write<T, E, F, Fut>(&self, unit: F) -> Result<T, E>
    where
        E: From<Error>,
        F: FnMut(Tx) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        self.write_as(None, unit).await
    }

    /// As [`Db::write`]; a unit that handles an event may share its transaction with others.
    async fn write_as<T, E, F, Fut>(&self, claim: Option<&Claim>, mut unit: F) -> Result<T, E>
    where
        E: From<Error>,
        F: FnMut(Tx) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let audit = &audit::pending();
        let unit = &mut unit;
        let unit = move |tx: Tx| {
            let work = unit(tx.clone());
            async move {
                let value = work.await?;
                if let Some(intent) = audit {
                    intent.record(&tx).await?;
                }
                Ok::<T, E>(value)
            }
        };
        let (value, notes) = match &self.shared.engine {
            Engine::Sqlite(writer) => writer.write(unit).await?,
            Engine::Postgres(writers) => match claim {
                Some(claim) => writers.claim(claim, unit).await?,
                None => writers.write(unit).await?,
            },
        };
        if let Some(intent) = audit.as_ref().filter(|_| notes.audited()) {
            intent.settle();
        }
        if notes.wrote_events() {
            self.shared.events.notify_one();
        }
        Ok(value)
    }

    /// Waits until a unit of work has written events since the last call.
    pub(crate) async fn events_written(&self) {
        self.shared.events.notified().await;
    }

    /// Waits until no other replica holds `name`.
    pub(crate) async fn hold(&self, name: &str) -> Hold {
        self.shared.holds.hold(name).await
    }

    /// The consumers that run on this database, in this process.
    pub(crate) fn consumers(&self) -> &Registry {
        &self.shared.consumers
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// What keeps it from answering.
    pub async fn ping(&self) -> Result<(), DbErr> {
        self.read().execute_unprepared("SELECT 1").await.map(drop)
    }
}

impl std::fmt::Debug for Db {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let engine = match self.shared.engine {
            Engine::Sqlite(_) => "SQLite",
            Engine::Postgres(_) => "PostgreSQL",
        };
        formatter.debug_tuple("Db").field(&engine).finish()
    }
}

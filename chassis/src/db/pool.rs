//! Connections to PostgreSQL that are kept between uses.
//!
//! They are tested neither before nor after a use, which would cost a round trip each: one that was broken while it waited is
//! noticed by its first statement, which then runs on another one.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use sea_orm::{
    ConnAcquireErr, DbErr, RuntimeErr,
    sqlx::{self, ConnectOptions as _, PgConnection, postgres::PgConnectOptions},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::link::Link;

/// Longest wait for a free connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection that nobody needs is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(600);

/// A bounded number of connections to one database.
pub(super) struct Pool {
    options: PgConnectOptions,
    places: Arc<Semaphore>,
    /// The one that was used last stands last.
    idle: Mutex<VecDeque<Idle>>,
    /// Sets a connection right whose user went away.
    reset: &'static str,
}

struct Idle {
    link: Link,
    since: Instant,
    state: State,
}

/// How a connection waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Outside of a transaction.
    Plain,
    /// In a transaction that has begun and done nothing yet.
    Begun,
}

/// A connection in use, with its place. Dropped before [`Lease::give_back`] it is reset first.
pub(super) struct Lease {
    pool: Arc<Pool>,
    link: Option<Arc<Link>>,
    place: Option<OwnedSemaphorePermit>,
    /// How it waited, and how long; `None` where it is new.
    pub(super) waited: Option<(State, Duration)>,
}

impl Pool {
    /// At most `places` connections. `reset` sets one right whose user went away.
    pub(super) fn new(options: PgConnectOptions, places: usize, reset: &'static str) -> Arc<Self> {
        Arc::new(Self {
            options: options.disable_statement_logging(),
            places: Arc::new(Semaphore::new(places)),
            idle: Mutex::default(),
            reset,
        })
    }

    /// Takes the connection that was used last, or a new one.
    pub(super) async fn lease(self: &Arc<Self>) -> Result<Lease, DbErr> {
        let place = tokio::time::timeout(ACQUIRE_TIMEOUT, self.places.clone().acquire_owned());
        let place = place.await.ok().and_then(Result::ok);
        let place = place.ok_or(DbErr::ConnectionAcquire(ConnAcquireErr::Timeout))?;
        let idle = self.idle().pop_back();
        match idle {
            Some(idle) => Ok(self.leased(idle, place)),
            None => {
                let link = Link::postgres(self.connect().await?);
                Ok(Lease {
                    pool: self.clone(),
                    link: Some(Arc::new(link)),
                    place: Some(place),
                    waited: None,
                })
            }
        }
    }

    /// Takes a connection that has waited in a transaction for longer than `age`.
    pub(super) fn lease_begun(self: &Arc<Self>, age: Duration) -> Option<Lease> {
        // Whoever has all places is in need of it.
        let place = self.places.clone().try_acquire_owned().ok()?;
        let mut idle = self.idle();
        let is_due = |idle: &Idle| idle.state == State::Begun && idle.since.elapsed() >= age;
        let due = idle.iter().position(is_due)?;
        let due = idle.remove(due)?;
        Some(self.leased(due, place))
    }

    /// How many wait in a transaction.
    pub(super) fn begun(&self) -> usize {
        let idle = self.idle();
        let begun = idle.iter().filter(|idle| idle.state == State::Begun);
        begun.count()
    }

    /// Closes those that wait in a transaction: their server was found to be gone.
    pub(super) fn close_begun(&self) {
        self.idle().retain(|idle| idle.state != State::Begun);
    }

    fn leased(self: &Arc<Self>, idle: Idle, place: OwnedSemaphorePermit) -> Lease {
        Lease {
            pool: self.clone(),
            link: Some(Arc::new(idle.link)),
            place: Some(place),
            waited: Some((idle.state, idle.since.elapsed())),
        }
    }

    /// A connection that is nobody else's.
    pub(super) async fn connect(&self) -> Result<PgConnection, DbErr> {
        let failed = |error: sqlx::Error| DbErr::Conn(RuntimeErr::SqlxError(error.into()));
        tokio::time::timeout(ACQUIRE_TIMEOUT, self.options.connect())
            .await
            .map_err(|_| DbErr::ConnectionAcquire(ConnAcquireErr::Timeout))?
            .map_err(failed)
    }

    fn keep(&self, link: Arc<Link>, state: State) {
        // A unit of work that kept its handle, which is of no use any more, keeps the connection: it is closed with it.
        let Some(link) = Arc::into_inner(link) else {
            return;
        };
        let mut idle = self.idle();
        idle.push_back(Idle {
            link,
            since: Instant::now(),
            state,
        });
        let is_old = |idle: &Idle| idle.since.elapsed() > IDLE_TIMEOUT;
        if idle.front().is_some_and(is_old) {
            idle.pop_front();
        }
    }

    fn idle(&self) -> MutexGuard<'_, VecDeque<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    pub(super) fn link(&self) -> &Arc<Link> {
        self.link.as_ref().expect("taken only when it ends")
    }

    /// Leaves the connection to the next one.
    pub(super) fn give_back(mut self, state: State) {
        if let Some(link) = self.link.take() {
            self.pool.keep(link, state);
        }
    }

    /// Closes the connection: it is broken.
    pub(super) fn close(mut self) {
        self.link = None;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let (Some(link), Ok(runtime)) = (self.link.take(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        let (pool, place) = (self.pool.clone(), self.place.take());
        runtime.spawn(async move {
            // Where it fails the connection is closed, and its server undoes what it has begun.
            if link.execute_unprepared(pool.reset).await.is_ok() {
                pool.keep(link, State::Plain);
            }
            drop(place);
        });
    }
}

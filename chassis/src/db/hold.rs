//! What only one replica of a service may do at a time.
//!
//! A hold ends with its process, however that dies, and costs no write: on PostgreSQL it is an advisory lock of a
//! connection of its own, on SQLite a lock of a file beside the database.

use std::{
    collections::HashMap,
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    time::Duration,
};

use sea_orm::{
    DbErr,
    sqlx::{self, Connection as _, PgConnection},
};
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;

/// How often a hold that somebody else has is asked for.
const TRY_INTERVAL: Duration = Duration::from_millis(500);
/// How often it is made sure that a hold is still ours.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// Longest wait for PostgreSQL's answer before the hold counts as lost.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The holds of one process on one database.
pub(super) struct Holds {
    place: Place,
}

enum Place {
    /// Locked by whoever has any hold.
    File {
        path: PathBuf,
        locked: Mutex<Weak<File>>,
    },
    Session {
        url: String,
        session: Arc<Mutex<Session>>,
    },
}

/// The connection whose end gives back all holds.
#[derive(Default)]
struct Session {
    connection: Option<PgConnection>,
    /// Counts connections.
    number: u64,
    /// Names that are held, with their keys. PostgreSQL would grant them to us once more.
    held: HashMap<i64, ()>,
}

/// As long as it lives and is not [lost](Hold::lost), nobody else has the same.
pub(crate) struct Hold {
    kind: Kind,
}

enum Kind {
    File {
        _locked: Arc<File>,
    },
    Session {
        session: Arc<Mutex<Session>>,
        number: u64,
        key: i64,
    },
}

impl Holds {
    /// `url` as [`Db::open`](super::Db::open) takes it.
    pub(super) fn new(url: &str) -> Self {
        let place = match url.strip_prefix("sqlite:") {
            Some(path) => Place::File {
                path: Path::new(path.trim_start_matches("//")).with_extension("lock"),
                locked: Mutex::default(),
            },
            None => Place::Session {
                url: url.to_owned(),
                session: Arc::default(),
            },
        };
        Self { place }
    }

    /// Waits until nobody else holds `name`, however long the database is away. Cancel by dropping.
    pub(super) async fn hold(&self, name: &str) -> Hold {
        let mut said = false;
        loop {
            let tried = match &self.place {
                Place::File { path, locked } => lock_file(path, locked).await,
                Place::Session { url, session } => lock_session(url, session, name).await,
            };
            match tried {
                Ok(Some(hold)) => return hold,
                Ok(None) => {}
                Err(error) if !said => {
                    tracing::warn!(
                        name,
                        error = &error as &dyn std::error::Error,
                        "cannot find out whether another replica is at it; trying again"
                    );
                    said = true;
                }
                Err(_) => {}
            }
            tokio::time::sleep(TRY_INTERVAL).await;
        }
    }
}

impl Hold {
    /// Waits until the hold cannot be relied on any more.
    pub(crate) async fn lost(&self) {
        let Kind::Session {
            session, number, ..
        } = &self.kind
        else {
            // A file stays locked until it is closed.
            return std::future::pending().await;
        };
        loop {
            tokio::time::sleep(CHECK_INTERVAL).await;
            let mut session = session.lock().await;
            if session.number != *number || !session.answers().await {
                return;
            }
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let Kind::Session {
            session,
            number,
            key,
        } = &self.kind
        else {
            return;
        };
        let (session, number, key) = (session.clone(), *number, *key);
        let give_back = async move {
            let mut session = session.lock().await;
            if session.number == number {
                session.held.remove(&key);
                let unlock = sqlx::query("SELECT pg_advisory_unlock($1)").bind(key);
                session.run(unlock).await;
            }
        };
        // Without a runtime the process is at its end, and with it the connection.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(give_back);
        }
    }
}

impl Session {
    /// Whether the connection, and with it all that it holds, is still there.
    async fn answers(&mut self) -> bool {
        self.run(sqlx::query("SELECT 1")).await;
        self.connection.is_some()
    }

    /// Runs a statement; a connection that fails is no more.
    async fn run(
        &mut self,
        query: sqlx::query::Query<'_, sqlx::Postgres, sqlx::postgres::PgArguments>,
    ) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        let answered = tokio::time::timeout(ANSWER_TIMEOUT, query.execute(connection)).await;
        if !matches!(answered, Ok(Ok(_))) {
            self.connection = None;
        }
    }
}

async fn lock_file(path: &Path, locked: &Mutex<Weak<File>>) -> Result<Option<Hold>, DbErr> {
    let mut locked = locked.lock().await;
    let file = match locked.upgrade() {
        Some(file) => file,
        None => {
            let explain =
                |error: std::io::Error| DbErr::Custom(format!("{}: {error}", path.display()));
            let file = File::create(path).map_err(explain)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(explain(error)),
            }
            let file = Arc::new(file);
            *locked = Arc::downgrade(&file);
            file
        }
    };
    Ok(Some(Hold {
        kind: Kind::File { _locked: file },
    }))
}

async fn lock_session(
    url: &str,
    shared: &Arc<Mutex<Session>>,
    name: &str,
) -> Result<Option<Hold>, DbErr> {
    let failed = |error: sqlx::Error| DbErr::Conn(sea_orm::RuntimeErr::SqlxError(error.into()));
    let key = key(name);
    let mut session = shared.lock().await;
    if session.connection.is_none() {
        let connect = PgConnection::connect(url);
        let connection = tokio::time::timeout(ANSWER_TIMEOUT, connect)
            .await
            .map_err(|_| failed(sqlx::Error::PoolTimedOut))?
            .map_err(failed)?;
        session.connection = Some(connection);
        session.number += 1;
        session.held.clear();
    }
    if session.held.contains_key(&key) {
        return Ok(None);
    }
    let Some(connection) = &mut session.connection else {
        return Ok(None);
    };
    let query = sqlx::query_scalar::<_, bool>("SELECT pg_try_advisory_lock($1)").bind(key);
    let granted = match tokio::time::timeout(ANSWER_TIMEOUT, query.fetch_one(connection)).await {
        Ok(Ok(granted)) => granted,
        failure => {
            session.connection = None;
            return match failure {
                Ok(Err(error)) => Err(failed(error)),
                _ => Err(failed(sqlx::Error::PoolTimedOut)),
            };
        }
    };
    if !granted {
        return Ok(None);
    }
    session.held.insert(key, ());
    Ok(Some(Hold {
        kind: Kind::Session {
            session: shared.clone(),
            number: session.number,
            key,
        },
    }))
}

/// The number that a name has among PostgreSQL's advisory locks.
fn key(name: &str) -> i64 {
    let digest = Sha256::digest(name.as_bytes());
    i64::from_be_bytes(digest[..8].try_into().expect("eight bytes"))
}

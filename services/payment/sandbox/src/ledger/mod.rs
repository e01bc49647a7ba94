//! The durable ledger. One task writes and shares its commits among all that wait; readers have a connection of their own.

mod apply;
mod entity;
mod read;
mod writer;

use std::path::Path;

use anyhow::Context;
use sea_orm::{ConnectOptions, Database, DatabaseConnection};
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};

use crate::{error::ApiError, idempotency::Key};
pub(crate) use read::{EntryFilter, Page};
pub(crate) use writer::Writer;

/// Requests that may wait for a commit; the next is told to come again.
const MAX_WAITING_JOBS: usize = 1024;

/// What a request wants to change.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    Create(NewIntent),
    /// Takes `amount_minor` of what is held, all where it is absent; the rest is given back.
    Capture {
        intent: String,
        amount_minor: Option<i64>,
    },
    Cancel {
        intent: String,
        reason: Option<String>,
    },
    /// Sends `amount_minor` back, all that is left where it is absent.
    Refund {
        intent: String,
        amount_minor: Option<i64>,
        reason: Option<String>,
        metadata: Map<String, Value>,
    },
}

/// A payment intent that is asked for.
#[derive(Clone, Debug)]
pub(crate) struct NewIntent {
    pub(crate) amount_minor: i64,
    pub(crate) currency: String,
    pub(crate) capture_method: String,
    pub(crate) payment_method: Option<String>,
    pub(crate) confirm: bool,
    pub(crate) description: Option<String>,
    pub(crate) metadata: Map<String, Value>,
}

/// What goes back to the caller; durable when it is given.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// HTTP status.
    pub(crate) status: u16,
    /// JSON.
    pub(crate) body: String,
    /// It is the answer of an earlier request with the same key.
    pub(crate) replayed: bool,
}

struct Job {
    key: Option<Key>,
    command: Command,
    answer: oneshot::Sender<Option<Answer>>,
}

/// Handle to the ledger. The writer ends when the last one is gone.
pub(crate) struct Ledger {
    jobs: mpsc::Sender<Job>,
    reader: DatabaseConnection,
}

impl Ledger {
    /// Opens the file, creating it where it is missing, and prepares the writer, which the caller runs.
    pub(crate) async fn open(path: &Path) -> anyhow::Result<(Self, Writer)> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot create the folder {}", folder.display()))?;
        }
        let opening = || format!("cannot open the ledger {}", path.display());
        let writing = connect(path, false).await.with_context(opening)?;
        let reader = connect(path, true).await.with_context(opening)?;
        let (sender, jobs) = mpsc::channel(MAX_WAITING_JOBS);
        let writer = Writer::new(writing, jobs).await.with_context(opening)?;
        Ok((
            Self {
                jobs: sender,
                reader,
            },
            writer,
        ))
    }

    /// Runs a command; comes back once its outcome is on the disk.
    pub(crate) async fn run(&self, key: Option<Key>, command: Command) -> Result<Answer, ApiError> {
        let (answer, answered) = oneshot::channel();
        self.jobs
            .try_send(Job {
                key,
                command,
                answer,
            })
            .map_err(|_| ApiError::overloaded())?;
        answered.await.ok().flatten().ok_or_else(ApiError::fault)
    }
}

async fn connect(path: &Path, read_only: bool) -> Result<DatabaseConnection, sea_orm::DbErr> {
    let path = path.to_owned();
    let mut options = ConnectOptions::new("sqlite://ledger");
    options
        .max_connections(1)
        .sqlx_logging(false)
        .map_sqlx_sqlite_opts(move |options| {
            let options = options
                .filename(&path)
                .create_if_missing(!read_only)
                .busy_timeout(std::time::Duration::from_secs(5))
                .pragma("journal_mode", "WAL")
                // NORMAL would lose committed entries on a power loss.
                .pragma("synchronous", "FULL");
            if read_only {
                options.pragma("query_only", "1")
            } else {
                options
            }
        });
    Database::connect(options).await
}

//! Checkpoints of SQLite's log, beside the commits instead of within them.
//!
//! By itself SQLite copies the log back into the database within the commit that makes it too long: a commit in a hundred takes
//! ten times as long as the others. Here a connection of its own does so while commits go on. A log that does not become
//! short because the commits never pause is begun anew under a lock, or by the writer where that lock is not to be had.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use sea_orm::sqlx::{
    self, ConnectOptions as _, Row as _, SqliteConnection, sqlite::SqliteConnectOptions,
};
use tokio::{sync::Notify, task::JoinHandle};

/// Commits after which there is a checkpoint.
const COMMITS: u32 = 200;
/// Growth of the log's file after which there is one, however few the commits were, in bytes.
const GROWTH_BYTES: u64 = 4 << 20;
/// Commits between two looks at the file.
const COMMITS_PER_LOOK: u32 = 8;
/// Pages in the log above which it is begun anew.
const MAX_LOG_PAGES: i64 = 16_384;
/// Pages in the log above which commits copy it back themselves: nobody else gets the lock where they follow upon each other.
pub(super) const LAST_RESORT_PAGES: u32 = 32_768;
/// Longest time that commits wait for readers while the log is begun anew.
const LOCK_TIMEOUT: Duration = Duration::from_millis(100);
/// Wait after a checkpoint that failed, e.g. on a full disk.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Counts commits, and makes a checkpoint now and then.
pub(super) struct Checkpoints {
    log: PathBuf,
    /// Since the last checkpoint.
    commits: u32,
    log_bytes: u64,
    due: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Checkpoints {
    /// Of the database at `path`, which `options` open.
    pub(super) fn start(path: &Path, options: SqliteConnectOptions) -> Self {
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        let due = Arc::new(Notify::new());
        let options = options.busy_timeout(LOCK_TIMEOUT);
        Self {
            log: log.into(),
            commits: 0,
            log_bytes: 0,
            due: due.clone(),
            task: tokio::spawn(run(options, due)),
        }
    }

    /// Counts a commit.
    pub(super) fn committed(&mut self) {
        self.commits += 1;
        let is_due = self.commits >= COMMITS
            || (self.commits.is_multiple_of(COMMITS_PER_LOOK) && self.has_grown());
        if is_due {
            self.commits = 0;
            self.due.notify_one();
        }
    }

    fn has_grown(&mut self) -> bool {
        let bytes = fs::metadata(&self.log).map_or(0, |file| file.len());
        let has_grown = bytes > self.log_bytes + GROWTH_BYTES;
        if has_grown || bytes < self.log_bytes {
            self.log_bytes = bytes;
        }
        has_grown
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(options: SqliteConnectOptions, due: Arc<Notify>) {
    let mut connection = None;
    loop {
        due.notified().await;
        if let Err(error) = checkpoint(&options, &mut connection).await {
            tracing::debug!(%error, "no checkpoint was made; trying again later");
            connection = None;
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }
}

async fn checkpoint(
    options: &SqliteConnectOptions,
    connection: &mut Option<SqliteConnection>,
) -> Result<(), sqlx::Error> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(options.connect().await?),
    };
    let row = sqlx::query("PRAGMA wal_checkpoint(PASSIVE)")
        .fetch_one(&mut *connection)
        .await?;
    let pages: i64 = row.try_get("log")?;
    if pages > MAX_LOG_PAGES {
        // Little is left to copy. Where a reader is in the way, the next checkpoint tries again.
        sqlx::query("PRAGMA wal_checkpoint(RESTART)")
            .fetch_one(connection)
            .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;

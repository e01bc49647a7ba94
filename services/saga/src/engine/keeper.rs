//! Stores what happens to all sagas: changes that wait at the same time share statements and a commit.

use std::{collections::HashSet, sync::Arc};

use chassis::db::{Db, Error as StoreError};
use sea_orm::DbBackend;
use tokio::sync::{Mutex, mpsc, oneshot};
use uuid::Uuid;

use crate::store::sagas::{self, Change};

/// Changes that wait at a time; who brings one more waits, too.
const MAX_QUEUED: usize = 1_024;
/// Changes in one unit of work.
const MAX_BATCH: usize = 256;
/// Units of work at a time. SQLite has one writer, and PostgreSQL's own commits overlap.
const WRITERS_ON_POSTGRES: usize = 4;

/// The way to the database. Cheap to clone; ends with its last clone.
#[derive(Clone)]
pub(super) struct Keeper {
    queue: mpsc::Sender<Entry>,
}

struct Entry {
    change: Change,
    done: oneshot::Sender<Result<bool, StoreError>>,
}

impl Keeper {
    pub(super) fn start(db: &Db) -> Self {
        let (queue, entries) = mpsc::channel(MAX_QUEUED);
        let entries = Arc::new(Mutex::new(entries));
        let writers = match db.read().get_database_backend() {
            DbBackend::Sqlite => 1,
            _ => WRITERS_ON_POSTGRES,
        };
        for _ in 0..writers {
            tokio::spawn(write(db.clone(), Arc::clone(&entries)));
        }
        Self { queue }
    }

    /// Stores a change and answers once the disk has it. False, and nothing is stored, where the saga is not as the
    /// change expects it.
    ///
    /// # Errors
    /// The database's own; then nobody knows whether it is stored.
    pub(super) async fn keep(&self, change: Change) -> Result<bool, StoreError> {
        let (done, kept) = oneshot::channel();
        let gone = |_| StoreError::Corrupt("the writer of sagas is gone".into());
        let entry = Entry { change, done };
        self.queue.send(entry).await.map_err(|_| gone(()))?;
        kept.await.map_err(|_| gone(()))?
    }
}

async fn write(db: Db, queue: Arc<Mutex<mpsc::Receiver<Entry>>>) {
    let mut entries = Vec::new();
    loop {
        if queue.lock().await.recv_many(&mut entries, MAX_BATCH).await == 0 {
            return;
        }
        let (changes, done): (Vec<_>, Vec<_>) = entries
            .drain(..)
            .map(|entry| (entry.change, entry.done))
            .unzip();
        match store(&db, &changes).await {
            Err(_) if changes.len() > 1 => {
                // One that the database does not take must not keep the others from being stored.
                for (change, done) in changes.iter().zip(done) {
                    let stored = store(&db, std::slice::from_ref(change)).await;
                    answer(done, stored.map(|stored| stored.contains(&change.saga())));
                }
            }
            Err(error) => {
                if let Some(done) = done.into_iter().next() {
                    answer(done, Err(error));
                }
            }
            Ok(stored) => {
                for (change, done) in changes.iter().zip(done) {
                    answer(done, Ok(stored.contains(&change.saga())));
                }
            }
        }
    }
}

/// Who no longer listens lost its saga or its caller.
fn answer(done: oneshot::Sender<Result<bool, StoreError>>, stored: Result<bool, StoreError>) {
    let _ = done.send(stored);
}

async fn store(db: &Db, changes: &[Change]) -> Result<HashSet<Uuid>, StoreError> {
    db.write(|tx| async move { sagas::store(&tx, changes).await })
        .await
}

//! The log stays bounded where commits follow upon each other, which leave nobody else the lock to begin it anew.

use std::{fs, path::Path, sync::Arc};

use futures::future::try_join_all;
use sea_orm::{ConnectOptions, ConnectionTrait as _, Database};
use sea_orm_migration::{MigrationTrait, MigratorTrait};

use crate::db::{Error, Tx, open, writer::Writer};

/// Pages from which on commits copy the log back: 1 MiB.
const LAST_RESORT_PAGES: u32 = 256;
/// Longest log that is well: what one commit adds, and commits that found a checkpoint under way, come on top of that.
const MAX_LOG_BYTES: u64 = 4 << 20;
/// Bytes of each row.
const ROW_BYTES: usize = 128 << 10;
/// Rows that are written, 48 MiB in all.
const ROWS: usize = 384;
/// Rows that are written while a reader keeps the log from being copied back, 2 MiB in all.
const ROWS_BESIDE_READER: usize = 16;
/// As many write at a time: whoever is answered has somebody waiting behind him already.
const WRITERS: usize = 4;

struct NoTables;

impl MigratorTrait for NoTables {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        Vec::new()
    }
}

/// Writes rows without a pause; the longest that the log was.
async fn write(writer: &Arc<Writer>, log: &Path, rows: usize) -> u64 {
    let writers = (0..WRITERS).map(|_| {
        let (writer, log) = (writer.clone(), log.to_owned());
        tokio::spawn(async move {
            let mut longest = 0;
            for _ in 0..rows / WRITERS {
                let unit = |tx: Tx| async move {
                    let sql = format!("INSERT INTO filler VALUES (randomblob({ROW_BYTES}))");
                    tx.execute_unprepared(&sql).await?;
                    Ok::<_, Error>(())
                };
                writer.write(unit).await.unwrap();
                longest = longest.max(fs::metadata(&log).unwrap().len());
            }
            longest
        })
    });
    try_join_all(writers)
        .await
        .unwrap()
        .into_iter()
        .max()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_stays_bounded_where_commits_never_pause() {
    let folder = tempfile::tempdir().unwrap();
    let (path, log) = (folder.path().join("a.db"), folder.path().join("a.db-wal"));
    let url = format!("sqlite:{}", path.display());
    let database = open::sqlite::<NoTables>(&url, LAST_RESORT_PAGES)
        .await
        .unwrap();
    let writer = Arc::new(database.write);
    let table = |tx: Tx| async move {
        tx.execute_unprepared("CREATE TABLE filler (bytes BLOB)")
            .await?;
        Ok::<_, Error>(())
    };
    writer.write(table).await.unwrap();

    let mut options = ConnectOptions::new(url);
    options.max_connections(1);
    let reading = Database::connect(options).await.unwrap();
    reading
        .execute_unprepared("BEGIN; SELECT COUNT(*) FROM filler")
        .await
        .unwrap();
    let beside_reader = write(&writer, &log, ROWS_BESIDE_READER).await;
    assert!(
        beside_reader >= (ROWS_BESIDE_READER * ROW_BYTES) as u64,
        "the reader holds it back: {beside_reader}"
    );
    reading.execute_unprepared("COMMIT").await.unwrap();

    let longest = write(&writer, &log, ROWS).await;
    assert!(longest < MAX_LOG_BYTES, "the log had {longest} bytes");
}

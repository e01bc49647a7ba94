//! What the messaging tables forget: rows that can no longer matter.

use std::time::Duration;

use sea_orm::ConnectionTrait;
use tokio_util::sync::CancellationToken;

use super::{Db, Error};
use crate::clock;

/// How often old rows are looked for.
const PURGE_INTERVAL: Duration = Duration::from_secs(60 * 60);
/// Rows that one unit of work removes, so that others are not held up.
const MAX_PURGED_ROWS: u64 = 1_000;

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// As long as a stream holds events: until then a broker that lost some can be given them again. The least that they stay.
const KEEP_EVENTS: Duration = DAY.saturating_mul(7);

/// A table, the columns of its key, the column that says a row's age (behind a condition, where not all rows go), and how
/// long rows stay.
const TABLES: [(&str, &str, &str, Duration); 5] = [
    // Twice as long as a stream holds events: whatever is delivered again finds its row. Longer where the consumer may be given
    // events again because it was away, or has not yet caught up with its publisher's archive.
    (
        "inbox",
        "consumer, event_id",
        "NOT EXISTS (SELECT 1 FROM consumers WHERE consumers.consumer = inbox.consumer \
         AND (complete_until_us IS NULL AND archive_position > 0 OR complete_until_us - 7200000000 < handled_at_us)) \
         AND handled_at_us",
        DAY.saturating_mul(14),
    ),
    (
        "event_tries",
        "consumer, event_id",
        "tried_at_us",
        DAY.saturating_mul(14),
    ),
    // Longer than operators leave a parked saga lying.
    (
        "saga_barrier",
        "saga_id, step, operation",
        "created_at_us",
        DAY.saturating_mul(90),
    ),
    (
        "saga_epochs",
        "saga_id",
        "seen_at_us",
        DAY.saturating_mul(90),
    ),
    (
        "idempotency",
        "caller, method, key",
        "created_at_us",
        HOUR.saturating_mul(48),
    ),
];

impl Db {
    /// Removes what is too old, now and then, until `cancel`. Events stay for `events` after they were sent, but never less
    /// than streams hold them; for good where that is `None`.
    pub(crate) async fn keep_small(self, events: Option<Duration>, cancel: CancellationToken) {
        while cancel
            .run_until_cancelled(tokio::time::sleep(PURGE_INTERVAL))
            .await
            .is_some()
        {
            for (table, key, age, keep) in TABLES {
                if let Err(error) = self.purge(table, key, age, keep, &cancel).await {
                    tracing::warn!(
                        table,
                        error = &error as &dyn std::error::Error,
                        "old rows were not removed"
                    );
                }
            }
            if let Some(keep) = events
                && let Err(error) = self.purge_events(keep, &cancel).await
            {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "old events were not removed"
                );
            }
            if let Err(error) = self.erase_transient(&cancel).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "what events said only for a while was not erased"
                );
            }
        }
    }

    /// Removes events that are too old. Those that are an aggregate's history stay.
    async fn purge_events(&self, keep: Duration, cancel: &CancellationToken) -> Result<(), Error> {
        let age = "aggregate_version IS NULL AND sent_at_us";
        self.purge("outbox", "id", age, keep.max(KEEP_EVENTS), cancel)
            .await
    }

    /// Erases the transient parts of events that no stream holds any more.
    async fn erase_transient(&self, cancel: &CancellationToken) -> Result<(), Error> {
        let sql = format!(
            "UPDATE outbox SET transient = NULL WHERE id IN (SELECT id FROM outbox \
             WHERE transient IS NOT NULL AND sent_at_us < $1 LIMIT {MAX_PURGED_ROWS})"
        );
        self.in_pieces(&sql, KEEP_EVENTS, cancel).await
    }

    async fn purge(
        &self,
        table: &str,
        key: &str,
        age: &str,
        keep: Duration,
        cancel: &CancellationToken,
    ) -> Result<(), Error> {
        let sql = format!(
            "DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} WHERE {age} < $1 LIMIT {MAX_PURGED_ROWS})"
        );
        self.in_pieces(&sql, keep, cancel).await
    }

    /// Runs a statement about rows older than `keep` until none is left, a unit of work for each [`MAX_PURGED_ROWS`].
    async fn in_pieces(
        &self,
        sql: &str,
        keep: Duration,
        cancel: &CancellationToken,
    ) -> Result<(), Error> {
        let before = clock::now_us() - keep.as_micros() as i64;
        while !cancel.is_cancelled() {
            let removed = self
                .write(|tx| async move {
                    let result = tx.execute_raw(tx.statement(sql, [before.into()])).await?;
                    Ok::<_, Error>(result.rows_affected())
                })
                .await?;
            if removed < MAX_PURGED_ROWS {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use sea_orm_migration::{MigrationTrait, MigratorTrait};

    use super::*;

    struct NoTables;

    impl MigratorTrait for NoTables {
        fn migrations() -> Vec<Box<dyn MigrationTrait>> {
            Vec::new()
        }
    }

    async fn rows(db: &Db, table: &str) -> i64 {
        let sql = format!("SELECT COUNT(*) AS n FROM {table}");
        let statement = sea_orm::Statement::from_string(db.read().get_database_backend(), sql);
        let row = db
            .read()
            .query_one_raw(statement)
            .await
            .expect("the table is there")
            .expect("a row");
        row.try_get("", "n").expect("a number")
    }

    async fn forgets_the_old(engine: kit::Engine) {
        let Some(url) = kit::database_url(engine) else {
            return;
        };
        let db = Db::open::<NoTables>(&url).await.expect("opens");
        let now = clock::now_us();
        let event = "INSERT INTO outbox (event_id, event_type, subject, aggregate_id, payload, occurred_at_us, \
                     sent_at_us) VALUES ($1, 't', 's', 'a', $2, $3, $3)";
        let saga = "INSERT INTO saga_epochs (saga_id, epoch, seen_at_us) VALUES ($1, 1, $2)";
        let key = "INSERT INTO idempotency (caller, method, key, request_hash, created_at_us) VALUES ('c', 'm', $1, $2, $3)";
        for at in [now, now - DAY.as_micros() as i64 * 365] {
            db.write(|tx| async move {
                let id = uuid::Uuid::now_v7();
                tx.execute_raw(tx.statement(event, [id.into(), vec![1u8].into(), at.into()]))
                    .await?;
                tx.execute_raw(tx.statement(saga, [id.into(), at.into()]))
                    .await?;
                tx.execute_raw(
                    tx.statement(key, [id.to_string().into(), vec![1u8].into(), at.into()]),
                )
                .await?;
                Ok::<_, Error>(())
            })
            .await
            .expect("kept");
        }
        let lasting = "INSERT INTO outbox (event_id, event_type, subject, aggregate_id, payload, transient, occurred_at_us, \
                       sent_at_us, aggregate_version) VALUES ($1, 't', 's', 'h', $2, $2, $3, $3, $4)";
        for (version, at) in [(1i64, now - DAY.as_micros() as i64 * 365), (2, now)] {
            db.write(|tx| async move {
                let id = uuid::Uuid::now_v7();
                let values = [id.into(), vec![1u8].into(), at.into(), version.into()];
                tx.execute_raw(tx.statement(lasting, values)).await?;
                Ok::<_, Error>(())
            })
            .await
            .expect("kept");
        }
        for (table, columns, age, keep) in TABLES {
            db.purge(table, columns, age, keep, &CancellationToken::new())
                .await
                .expect(table);
        }
        db.purge_events(DAY, &CancellationToken::new())
            .await
            .expect("removed");
        db.erase_transient(&CancellationToken::new())
            .await
            .expect("erased");
        for table in [
            "outbox WHERE aggregate_version IS NULL",
            "saga_epochs",
            "idempotency",
        ] {
            assert_eq!(rows(&db, table).await, 1, "{table}");
        }
        let history = |condition| format!("outbox WHERE aggregate_version {condition}");
        assert_eq!(rows(&db, &history("> 0")).await, 2, "history stays");
        assert_eq!(rows(&db, &history("= 1 AND transient IS NULL")).await, 1);
        assert_eq!(
            rows(&db, &history("= 2 AND transient IS NOT NULL")).await,
            1
        );
    }

    #[tokio::test]
    async fn old_rows_go_and_young_ones_stay_on_sqlite() {
        forgets_the_old(kit::Engine::Sqlite).await;
    }

    #[tokio::test]
    async fn old_rows_go_and_young_ones_stay_on_postgres() {
        forgets_the_old(kit::Engine::Postgres).await;
    }
}

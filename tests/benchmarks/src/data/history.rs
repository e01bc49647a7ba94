//! An outbox with a long history: events that were sent long ago.

use chassis::db::{Db, Error};
use sea_orm::{ConnectionTrait, Statement};

/// Rows of one unit of work.
const PIECE: u64 = 10_000;
/// When they happened, in microseconds since 1970: years ago.
const LONG_AGO_US: i64 = 1_600_000_000_000_000;

/// Fills the outbox with this many events.
pub(super) async fn fill(db: &Db, events: u64) {
    let mut filled = 0;
    // Ids in the order of time, as those of services are.
    while filled < events {
        let piece = PIECE.min(events - filled);
        let sql = format!(
            "INSERT INTO outbox (event_id, event_type, subject, aggregate_id, payload, occurred_at_us, sent_at_us) \
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {piece}) \
             SELECT unhex(printf('%016x', {filled} + i) || hex(randomblob(8))), 'caravan.inventory.v1.StockAdjusted', 'inventory.stock.adjusted.v1', \
             'sku-' || (i % 1000), randomblob(24), {LONG_AGO_US} + i, {LONG_AGO_US} + i FROM n"
        );
        let sql = &sql;
        db.write(|tx| async move {
            let statement = Statement::from_string(tx.get_database_backend(), sql);
            tx.execute_raw(statement).await?;
            Ok::<_, Error>(())
        })
        .await
        .expect("the disk has room");
        filled += piece;
    }
}

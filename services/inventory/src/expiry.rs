//! Ends holds whose time is over.

use std::time::Duration;

use chassis::db::Db;
use futures::{TryStreamExt as _, stream};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    change::{self, Outcome},
    error::Error,
    store,
};

/// Most holds of one look; the rest waits for the next one, which follows at once.
const MAX_BATCH_HOLDS: u64 = 256;
/// Holds that are ended at a time, so that they can share a commit.
const CONCURRENT_HOLDS: usize = 16;

/// Looks for overdue holds every `interval` until `drain` says so.
///
/// Replicas may look at the same time: each hold is looked at again under its lock.
///
/// # Errors
/// None: a look that failed is made again.
pub async fn run(db: Db, interval: Duration, drain: CancellationToken) -> anyhow::Result<()> {
    while !drain.is_cancelled() {
        let more = match expire_overdue(&db).await {
            Ok(ended) => ended == MAX_BATCH_HOLDS,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "overdue holds could not be ended"
                );
                false
            }
        };
        if !more {
            let _ = drain
                .run_until_cancelled(tokio::time::sleep(interval))
                .await;
        }
    }
    Ok(())
}

/// Ends up to [`MAX_BATCH_HOLDS`] overdue holds and says how many were found.
async fn expire_overdue(db: &Db) -> Result<u64, Error> {
    let overdue =
        store::reservations::overdue(db.read(), chassis::clock::now(), MAX_BATCH_HOLDS).await?;
    let found = overdue.len() as u64;
    stream::iter(overdue.into_iter().map(Ok))
        .try_for_each_concurrent(CONCURRENT_HOLDS, |order| expire(db, order))
        .await?;
    Ok(found)
}

async fn expire(db: &Db, order: Uuid) -> Result<(), Error> {
    let now = chassis::clock::now();
    let ended =
        db.write(|tx| async move {
            change::held(&tx, order, |held, shelf| held.expire(now, shelf)).await
        })
        .await?;
    if ended == Outcome::Changed {
        tracing::info!(%order, "an order's hold on stock has expired");
    }
    Ok(())
}

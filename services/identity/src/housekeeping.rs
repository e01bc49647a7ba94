//! Looks after signing keys and revoked tokens, and forgets now and then what is over: sessions, mails, challenges, failures,
//! revoked tokens, old audit entries.

use std::time::Duration;

use chassis::{clock, db::Db};
use tokio_util::sync::CancellationToken;

use crate::{error::Error, store, tokens::Tokens};

/// Time between two looks for what is over.
const PURGE_INTERVAL: Duration = Duration::from_secs(10 * 60);
/// Rows that one unit of work removes, so that others are not held up.
const MAX_PURGED_ROWS: u64 = 1_000;

/// Works until `drain`.
///
/// # Errors
/// None: what fails is tried again the next time.
pub async fn run(db: Db, tokens: Tokens, drain: CancellationToken) -> anyhow::Result<()> {
    tokio::join!(
        tokens.keep(&db, &drain),
        tokens.revocations().follow(&db, &drain),
        forget(&db, &drain)
    );
    Ok(())
}

async fn forget(db: &Db, drain: &CancellationToken) {
    let mut looks = tokio::time::interval(PURGE_INTERVAL);
    while drain.run_until_cancelled(looks.tick()).await.is_some() {
        if let Err(error) = purge(db, drain).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "what is over was not forgotten");
        }
    }
}

async fn purge(db: &Db, drain: &CancellationToken) -> Result<(), Error> {
    while !drain.is_cancelled() {
        let now = clock::now();
        let purged = db
            .write(|tx| async move {
                let audit = store::audit::purge(&tx, now, MAX_PURGED_ROWS).await?;
                let others = store::purge::over(&tx, now, MAX_PURGED_ROWS).await?;
                Ok::<_, Error>(audit.max(others))
            })
            .await?;
        if purged < MAX_PURGED_ROWS {
            break;
        }
    }
    Ok(())
}

//! Files that are read again when they change.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// Time between two looks at the files. Whoever rotates certificates does it hours before the old ones end.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Calls `look` again and again until `stop`. It says whether what it found is new and now in use; what it cannot use is
/// told in the log, once, and it must leave the old in place.
pub async fn keep_fresh<F>(stop: CancellationToken, look: impl Fn() -> F)
where
    F: Future<Output = anyhow::Result<bool>>,
{
    let mut looks = tokio::time::interval(LOOK_EVERY);
    // What was refused last, so that it is told once.
    let mut refused = None;
    while stop.run_until_cancelled(looks.tick()).await.is_some() {
        match look().await {
            Ok(is_new) => {
                refused = None;
                if is_new {
                    tracing::info!("certificates were read again");
                }
            }
            Err(error) => {
                let error = format!("{error:#}");
                if refused.as_ref() != Some(&error) {
                    tracing::warn!(error, "new certificates cannot be used, the old ones stay");
                    refused = Some(error);
                }
            }
        }
    }
}

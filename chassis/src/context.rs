//! What follows a request through its task: ids and deadline. Set by the server for each call and by
//! consumers for each event, read by clients, outbox and logs.

use std::{future::Future, net::IpAddr, sync::Arc};

use secrecy::SecretString;
use tokio::{task_local, time::Instant};

use crate::audit;

/// Longest request id that is taken over from a caller, in bytes.
const MAX_REQUEST_ID_BYTES: usize = 128;

/// What the work at hand was asked for.
#[derive(Clone, Debug)]
pub struct Context {
    /// Goes into every log line, call and event of the request.
    pub request_id: Arc<str>,
    /// When the caller stops waiting; `None` where nobody waits.
    pub deadline: Option<Instant>,
    /// The access token of the person who asked, for calls in the person's name.
    pub user_token: Option<Arc<SecretString>>,
    /// Where the request comes from, as far as proxies are trusted to say so; `None` where it is no request.
    pub client: Option<IpAddr>,
    /// What the audit is to remember of it, once it changes something.
    pub(crate) audit: Option<Arc<audit::Intent>>,
}

impl Context {
    /// A context without a deadline. A missing, empty or odd id is replaced by a new one.
    pub fn new(request_id: Option<&str>) -> Self {
        Self {
            request_id: request_id
                .filter(|id| is_sane(id))
                .map_or_else(|| new_request_id().into(), Arc::from),
            deadline: None,
            user_token: None,
            client: None,
            audit: None,
        }
    }
}

task_local! {
    static CONTEXT: Context;
}

/// The context of the running task; `None` outside of any request. A spawned task starts without one:
/// give it on with [`scope`].
pub fn current() -> Option<Context> {
    CONTEXT.try_with(Clone::clone).ok()
}

/// What the audit is to remember of the running task's call.
pub(crate) fn audit() -> Option<Arc<audit::Intent>> {
    CONTEXT.try_with(|context| context.audit.clone()).ok()?
}

/// Runs a future within a context.
pub fn scope<F: Future>(context: Context, future: F) -> impl Future<Output = F::Output> {
    CONTEXT.scope(context, future)
}

/// Runs a closure within a context, e.g. one poll of a response body.
pub(crate) fn sync_scope<T>(context: Context, f: impl FnOnce() -> T) -> T {
    CONTEXT.sync_scope(context, f)
}

/// A new request id (UUIDv7).
pub fn new_request_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// Whether a caller's id is short and plain enough for logs, headers and rows.
fn is_sane(id: &str) -> bool {
    (1..=MAX_REQUEST_ID_BYTES).contains(&id.len())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_odd_request_id_is_replaced() {
        assert_eq!(&*Context::new(Some("abc-1.2:3")).request_id, "abc-1.2:3");
        for odd in ["", "a b", "a\nb", "{}", &"x".repeat(129)] {
            assert_ne!(&*Context::new(Some(odd)).request_id, odd);
        }
    }

    #[tokio::test]
    async fn a_context_holds_within_its_scope_only() {
        assert!(current().is_none());
        let seen = scope(Context::new(Some("r-1")), async {
            current().map(|context| context.request_id)
        })
        .await;
        assert_eq!(seen.as_deref(), Some("r-1"));
        assert!(current().is_none());
    }
}

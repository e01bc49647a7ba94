//! What all requests share.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use arc_swap::ArcSwap;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{api::Api, policy::Policies};

/// Most requests at once, streams included; more are refused, to be tried again.
const MAX_REQUESTS: usize = 8_192;

/// All that requests share.
#[derive(Debug)]
pub struct Gateway {
    /// Swapped whole; a request keeps the one it began with.
    api: ArcSwap<Api>,
    pub(crate) policies: Arc<Policies>,
    pub(crate) ignore_unknown_fields: bool,
    /// Whether somebody collects spans.
    pub(crate) is_traced: bool,
    /// Whether clients come over TLS.
    pub(crate) is_secure: bool,
    requests: AtomicUsize,
    pub(crate) drain: CancellationToken,
    /// WebSockets, which outlive the requests that they began with.
    pub(crate) sockets: TaskTracker,
}

impl Gateway {
    /// A gateway whose streams end at `drain`. `policies` are those that `api` was compiled with.
    pub fn new(
        api: Api,
        policies: Arc<Policies>,
        ignore_unknown_fields: bool,
        drain: CancellationToken,
    ) -> Self {
        Self {
            api: ArcSwap::from_pointee(api),
            policies,
            ignore_unknown_fields,
            is_traced: false,
            is_secure: false,
            requests: AtomicUsize::new(0),
            drain,
            sockets: TaskTracker::new(),
        }
    }

    /// The same with a span for every request.
    #[must_use]
    pub fn traced(self, is_traced: bool) -> Self {
        Self { is_traced, ..self }
    }

    /// The same for clients that come over TLS.
    #[must_use]
    pub fn secured(self, is_secure: bool) -> Self {
        Self { is_secure, ..self }
    }

    /// The contract that requests are answered by now.
    pub fn api(&self) -> Arc<Api> {
        self.api.load_full()
    }

    /// From now on requests are answered by `api`; those that run end with the one they began with.
    pub fn swap(&self, api: Api) {
        self.api.store(Arc::new(api));
    }
}

/// A request's place among those that run, given back when dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<Gateway>);

impl Place {
    pub(crate) fn take(gateway: &Arc<Gateway>) -> Option<Self> {
        let before = gateway.requests.fetch_add(1, Ordering::Relaxed);
        let place = Self(gateway.clone());
        (before < MAX_REQUESTS).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

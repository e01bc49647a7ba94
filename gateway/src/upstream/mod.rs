//! Calls to services: gRPC over a few HTTP/2 connections, bytes in and bytes out.
//!
//! [`Directory`] says which upstream serves an rpc. An [`Upstream`] has one or more endpoints; each endpoint keeps, for
//! each worker of the gateway, a few connections of its own, so that workers share nothing on the way of a call.
//! The connections are h2's own: a call is then a stream that its task reads and writes itself, without the channels
//! and the task a call that a client above it would add.

mod budget;
mod call;
mod connection;
mod directory;
mod endpoint;
mod frame;
mod health;
mod messages;
mod metrics;
mod origin;
mod resolve;
mod site;
mod socket;
mod split;

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use arc_swap::ArcSwap;
use budget::Budget;
use bytes::Bytes;
pub(crate) use call::{Outgoing, Receiving, Reply};
pub use directory::{Directory, Target};
use endpoint::Endpoint;
pub(crate) use frame::{FRAME_HEADER_BYTES, frame, open_frame};
use health::{Cause, Peers, State};
use http::{HeaderMap, uri::PathAndQuery};
pub use messages::Messages;
pub(crate) use origin::{Origin, is_secure};
use resolve::Resolver;
pub(crate) use site::{Kept, NoAnswer, Site, Use};
pub(crate) use split::{Chosen, Share, Split, Way};
use tonic::Code;

use crate::status::Status;

/// Endpoints that one call tries at most; the same one again where there is no other.
const MAX_TRIES: usize = 3;

/// One service at one or more addresses that serve the same. Connects when it is called.
#[derive(Debug)]
pub struct Upstream {
    origins: Box<[Origin]>,
    /// Never none.
    endpoints: ArcSwap<Box<[Arc<Endpoint>]>>,
    next: AtomicUsize,
    budget: Budget,
    peers: Arc<Peers>,
    resolver: Arc<Resolver>,
    /// Whether its names could not be looked up the last time.
    is_lost: AtomicBool,
    workers: usize,
}

/// A call with one request message.
#[derive(Clone)]
pub(crate) struct Call<'c> {
    pub(crate) path: &'c PathAndQuery,
    /// Makes the metadata, for each try anew.
    pub(crate) metadata: &'c (dyn Fn() -> HeaderMap + Sync),
    /// The message, framed by [`frame`].
    pub(crate) framed: Bytes,
    /// Whether the call may be made twice: it is, where nobody knows whether the first try arrived.
    pub(crate) repeatable: bool,
}

/// A call that did not go well at one upstream.
#[derive(Debug)]
pub(crate) struct Failed {
    status: Status,
    /// Whether another upstream may be asked: this one is away, and the call was not made or may be made twice.
    may_go_elsewhere: bool,
}

impl Failed {
    fn status(self) -> Status {
        self.status
    }
}

impl Upstream {
    /// The service `name` at `origins`, called by `workers` workers.
    pub(crate) fn new(
        name: &str,
        origins: Box<[Origin]>,
        workers: usize,
        resolver: &Arc<Resolver>,
    ) -> Self {
        let peers = Arc::new(Peers::new(name));
        let upstream = Self {
            endpoints: ArcSwap::default(),
            next: AtomicUsize::new(0),
            budget: Budget::new(workers),
            peers,
            resolver: resolver.clone(),
            is_lost: AtomicBool::new(false),
            workers,
            origins,
        };
        let unknown = upstream.origins.iter();
        let unknown: Vec<_> = unknown.map(|origin| (origin, None)).collect();
        upstream.serve_at(&unknown);
        upstream
    }

    /// What it is called in logs.
    pub fn name(&self) -> &str {
        self.peers.name()
    }

    /// Calls an rpc with one message. The answer's messages come one by one. Dropping the future or the messages cancels
    /// the call at the upstream.
    pub(crate) async fn call(&self, call: Call<'_>) -> Result<Messages, Status> {
        self.try_call(call).await.map_err(Failed::status)
    }

    async fn try_call(&self, call: Call<'_>) -> Result<Messages, Failed> {
        self.attempt(call, async |messages| Ok(messages)).await
    }

    /// Calls an rpc that answers with one message.
    pub(crate) async fn unary(&self, call: Call<'_>) -> Result<Bytes, Status> {
        self.try_unary(call).await.map_err(Failed::status)
    }

    async fn try_unary(&self, call: Call<'_>) -> Result<Bytes, Failed> {
        self.attempt(call, Messages::only).await
    }

    /// Tries endpoints until one gives an answer of which `take` makes something.
    async fn attempt<T>(
        &self,
        call: Call<'_>,
        take: impl AsyncFn(Messages) -> Result<T, Status>,
    ) -> Result<T, Failed> {
        let mut tried = Vec::new();
        let mut last = Status::unavailable();
        let mut may_go_elsewhere = true;
        while let Some(endpoint) = self.pick(&tried) {
            let head = endpoint.head(call.path, (call.metadata)());
            match endpoint.call(head, call.framed.clone()).await {
                Ok(response) => {
                    let outcome = match Messages::of(response) {
                        Ok(messages) => take(messages).await,
                        Err(status) => Err(status),
                    };
                    match outcome {
                        Err(status) if status.code == Code::Unavailable => last = status,
                        outcome => {
                            endpoint.health.answered();
                            self.budget.pay();
                            return outcome.map_err(|status| Failed {
                                status,
                                may_go_elsewhere: false,
                            });
                        }
                    }
                    if last.from_upstream {
                        endpoint.health.unavailable();
                        // The same one would only say it again.
                        if !self.has_other(&endpoint, &tried) {
                            may_go_elsewhere = call.repeatable;
                            break;
                        }
                    }
                    if !(call.repeatable && self.may_repeat()) {
                        may_go_elsewhere = false;
                        break;
                    }
                }
                Err(failure) => {
                    failure.log(self.name(), endpoint.authority());
                    if failure.never_sent {
                        self.resolver.hurry();
                    } else if !(call.repeatable && self.may_repeat()) {
                        last = failure.status();
                        may_go_elsewhere = false;
                        break;
                    }
                    last = failure.status();
                }
            }
            tried.push(endpoint);
        }
        Err(Failed {
            status: last,
            may_go_elsewhere,
        })
    }

    /// Begins a call whose request is a stream: what is sent and what comes back go their own ways. Another endpoint is
    /// tried where no connection can be had, but not once the call began.
    pub(crate) async fn open(
        &self,
        path: &PathAndQuery,
        metadata: &HeaderMap,
    ) -> Result<(Outgoing, Reply), Status> {
        let mut tried = Vec::new();
        while let Some(endpoint) = self.pick(&tried) {
            match endpoint.open(endpoint.head(path, metadata.clone())).await {
                Ok((outgoing, reply)) => return Ok((outgoing, reply.told_to(&endpoint.health))),
                Err(failure) => failure.log(self.name(), endpoint.authority()),
            }
            self.resolver.hurry();
            tried.push(endpoint);
        }
        Err(Status::unavailable())
    }

    /// Whether a call may be given to it where there is another upstream: not while all endpoints are passed over. Finds out
    /// by and by whether one of them is back.
    fn is_well(&self) -> bool {
        let endpoints = self.endpoints.load();
        let is_only = endpoints.len() == 1;
        endpoints
            .iter()
            .any(|endpoint| match endpoint.health.state() {
                State::Well => true,
                State::Ejected => false,
                State::Due(Cause::Answers) => !is_only || endpoint.health.begin_trial(),
                State::Due(Cause::Connection) => {
                    if endpoint.health.begin_trial() {
                        drop(tokio::spawn(endpoint.clone().probe()));
                    }
                    false
                }
            })
    }

    /// Whether the budget leaves room for one more repetition.
    fn may_repeat(&self) -> bool {
        let may = self.budget.take();
        metrics::retried(self.name(), if may { "made" } else { "budget" });
        may
    }

    /// Whether an endpoint that is well has not been tried yet.
    fn has_other(&self, last: &Arc<Endpoint>, tried: &[Arc<Endpoint>]) -> bool {
        let endpoints = self.endpoints.load();
        let mut others = endpoints.iter().filter(|endpoint| {
            !Arc::ptr_eq(endpoint, last) && !tried.iter().any(|tried| Arc::ptr_eq(tried, endpoint))
        });
        others.any(|endpoint| endpoint.health.state() == State::Well)
    }

    /// The least loaded endpoint that has not failed, best one that this call has not tried; `None` after the last try.
    fn pick(&self, tried: &[Arc<Endpoint>]) -> Option<Arc<Endpoint>> {
        if tried.len() >= MAX_TRIES {
            return None;
        }
        let endpoints = self.endpoints.load();
        if let [only] = &***endpoints {
            return Some(only.clone());
        }
        let count = endpoints.len();
        // Those that are equally good take turns.
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let mut best = None;
        for turn in 0..count {
            let endpoint = &endpoints[(first + turn) % count];
            let again = tried.iter().any(|tried| Arc::ptr_eq(tried, endpoint));
            let state = endpoint.health.state();
            if let State::Due(cause) = state
                && !again
                && endpoint.health.begin_trial()
            {
                match cause {
                    // Only a call finds out how it answers.
                    Cause::Answers => return Some(endpoint.clone()),
                    // No call waits for a connection that may not be made.
                    Cause::Connection => drop(tokio::spawn(endpoint.clone().probe())),
                }
            }
            let key = (again, state != State::Well, endpoint.load());
            if best.as_ref().is_none_or(|(least, _)| key < *least) {
                best = Some((key, endpoint));
            }
        }
        best.map(|(_, endpoint)| endpoint.clone())
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.peers.set_count(0);
    }
}

//! Calls to services: gRPC over a few HTTP/2 connections, bytes in and bytes out.
//!
//! [`Directory`] says which upstream serves an rpc. An [`Upstream`] has one or more endpoints; each endpoint keeps, for
//! each worker of the gateway, a few connections of its own, so that workers share nothing on the way of a call.
//! The connections are h2's own: a call is then a stream that its task reads and writes itself, without the channels
//! and the task a call that a client above it would add.

mod call;
mod connection;
mod directory;
mod endpoint;
mod frame;
mod health;
mod messages;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
pub(crate) use call::{Outgoing, Receiving, Reply};
pub use directory::{Directory, Target};
use endpoint::Endpoint;
pub(crate) use frame::{FRAME_HEADER_BYTES, frame, open_frame};
use http::{HeaderMap, Uri, uri::PathAndQuery};
pub use messages::Messages;

use crate::status::Status;

/// Endpoints that one call tries at most; the same one again where there is no other.
const MAX_TRIES: usize = 3;

/// One service at one or more addresses that serve the same. Connects when it is called.
#[derive(Debug)]
pub struct Upstream {
    name: Box<str>,
    endpoints: Box<[Arc<Endpoint>]>,
    next: AtomicUsize,
}

/// A call with one request message.
pub(crate) struct Call<'c> {
    pub(crate) path: &'c PathAndQuery,
    /// Makes the metadata, for each try anew.
    pub(crate) metadata: &'c (dyn Fn() -> HeaderMap + Sync),
    /// The message, framed by [`frame`].
    pub(crate) framed: Bytes,
    /// Whether the call may be made twice: it is, where nobody knows whether the first try arrived.
    pub(crate) repeatable: bool,
}

impl Upstream {
    /// The service `name` at `uris` (each `http://host:port`), called by `workers` workers.
    pub fn new(name: &str, uris: &[Uri], workers: usize) -> Self {
        let endpoints = uris.iter().map(|uri| Arc::new(Endpoint::new(uri, workers)));
        Self {
            name: name.into(),
            endpoints: endpoints.collect(),
            next: AtomicUsize::new(0),
        }
    }

    /// What it is called in logs.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Calls an rpc with one message. The answer's messages come one by one. Dropping the future or the messages cancels
    /// the call at the upstream.
    pub(crate) async fn call(&self, call: Call<'_>) -> Result<Messages, Status> {
        let mut tried = Vec::new();
        while let Some(endpoint) = self.pick(&tried) {
            let head = endpoint.head(call.path, (call.metadata)());
            let failure = match endpoint.call(head, call.framed.clone()).await {
                Ok(response) => return Messages::of(response),
                Err(failure) => failure,
            };
            failure.log(&self.name, endpoint.address());
            if !(failure.never_sent || call.repeatable) {
                break;
            }
            tried.push(endpoint.clone());
        }
        Err(Status::unavailable())
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
                Ok(call) => return Ok(call),
                Err(failure) => failure.log(&self.name, endpoint.address()),
            }
            tried.push(endpoint.clone());
        }
        Err(Status::unavailable())
    }

    /// The least loaded endpoint that has not failed, best one that this call has not tried; `None` after the last try.
    fn pick(&self, tried: &[Arc<Endpoint>]) -> Option<&Arc<Endpoint>> {
        if tried.len() >= MAX_TRIES {
            return None;
        }
        if let [only] = &*self.endpoints {
            return Some(only);
        }
        let count = self.endpoints.len();
        // Those that are equally good take turns.
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let turns = (0..count).map(|turn| &self.endpoints[(first + turn) % count]);
        turns.min_by_key(|endpoint| {
            let again = tried.iter().any(|tried| Arc::ptr_eq(tried, endpoint));
            (again, endpoint.health.is_ejected(), endpoint.load())
        })
    }
}

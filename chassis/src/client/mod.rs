//! Calls to other services by their logical name.

mod channel;
mod raw;
mod retry;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::Uri;
use tonic::transport::Endpoint;

use crate::{auth::service_token::ServiceToken, config::Upstreams};

pub use channel::Channel;
pub(crate) use channel::unavailable;
pub use raw::call_raw;
pub use retry::retry;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Silence after which a connection is pinged, also while no call runs: a partitioned one would hang for good.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// Longest wait for the answer to a ping.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of one call that may be on the way unread.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// Bytes of one connection that may be on the way unread.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// A service that is called but not configured.
#[derive(Debug, thiserror::Error)]
#[error("UPSTREAMS names no `{0}`: add {0}=http://host:port")]
pub struct UnknownUpstream(String);

/// A connection to `uri` that is made when it is first used and again whenever it broke.
/// Must be called within a tokio runtime.
pub fn connect_lazy(uri: &Uri) -> tonic::transport::Channel {
    Endpoint::from(uri.clone())
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .connect_lazy()
}

/// The channels of a service: one connection for each upstream, however often it is asked for.
pub(crate) struct Clients {
    upstreams: Upstreams,
    connections: Mutex<HashMap<String, tonic::transport::Channel>>,
}

impl Clients {
    pub(crate) fn new(upstreams: Upstreams) -> Self {
        Self {
            upstreams,
            connections: Mutex::new(HashMap::new()),
        }
    }

    /// A channel to a service. With `token` it calls in this service's name, else in nobody's.
    ///
    /// # Errors
    /// UPSTREAMS does not name the service.
    pub(crate) fn channel(
        &self,
        logical: &str,
        token: Option<Arc<ServiceToken>>,
    ) -> Result<Channel, UnknownUpstream> {
        let uri = self
            .upstreams
            .get(logical)
            .ok_or_else(|| UnknownUpstream(logical.to_owned()))?;
        let mut connections = self
            .connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let connection = connections
            .entry(logical.to_owned())
            .or_insert_with(|| connect_lazy(uri))
            .clone();
        Ok(Channel::new(logical, connection, token))
    }
}

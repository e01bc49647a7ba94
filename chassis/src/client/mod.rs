//! Calls to other services by their logical name.

mod channel;
mod connector;
mod raw;
mod retry;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::Uri;
use tonic::transport::Endpoint;

use crate::{auth::service_token::ServiceToken, config::Upstreams, tls::Tls};

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

/// A service that is called but cannot be.
#[derive(Debug, thiserror::Error)]
pub enum UnknownUpstream {
    /// It is not configured.
    #[error("UPSTREAMS names no `{0}`: add {0}=http://host:port")]
    Unnamed(String),
    /// It is to be called over TLS, which takes a certificate.
    #[error("UPSTREAMS names `{0}` with https: set TLS_CERT_FILE, TLS_KEY_FILE and TLS_CA_FILE")]
    NoCertificate(String),
}

/// A connection to `uri` that is made when it is first used and again whenever it broke.
/// Must be called within a tokio runtime.
pub fn connect_lazy(uri: &Uri) -> tonic::transport::Channel {
    endpoint(uri).connect_lazy()
}

fn endpoint(uri: &Uri) -> Endpoint {
    Endpoint::from(uri.clone())
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
}

/// The channels of a service: one connection for each upstream, however often it is asked for.
pub(crate) struct Clients {
    upstreams: Upstreams,
    tls: Option<Arc<Tls>>,
    connections: Mutex<HashMap<String, tonic::transport::Channel>>,
}

impl Clients {
    pub(crate) fn new(upstreams: Upstreams, tls: Option<Arc<Tls>>) -> Self {
        Self {
            upstreams,
            tls,
            connections: Mutex::new(HashMap::new()),
        }
    }

    /// A channel to a service. With `token` it calls in this service's name, else in nobody's.
    ///
    /// # Errors
    /// UPSTREAMS does not name the service, or names it with `https` where this process has no certificate.
    pub(crate) fn channel(
        &self,
        logical: &str,
        token: Option<Arc<ServiceToken>>,
    ) -> Result<Channel, UnknownUpstream> {
        let uri = self
            .upstreams
            .get(logical)
            .ok_or_else(|| UnknownUpstream::Unnamed(logical.to_owned()))?;
        let is_secure = uri.scheme_str() == Some("https");
        let tls = self.tls.as_ref().filter(|_| is_secure);
        if is_secure && tls.is_none() {
            return Err(UnknownUpstream::NoCertificate(logical.to_owned()));
        }
        let mut connections = self
            .connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let connection = connections
            .entry(logical.to_owned())
            .or_insert_with(|| match tls {
                None => connect_lazy(uri),
                Some(tls) => {
                    endpoint(uri).connect_with_connector_lazy(connector::to(logical, tls.clone()))
                }
            })
            .clone();
        Ok(Channel::new(logical, connection, token))
    }
}

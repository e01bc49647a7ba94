//! One HTTP/2 connection.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use h2::{Ping, PingPong, Reason, client};
use http::Request;
use tokio::{net::TcpStream, time::timeout};

use super::call::{Outgoing, Reply};
use crate::status::Status;

/// Longest time to connect, and then again to shake hands.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Time between pings, so that a partition is noticed also while nothing comes.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// Longest wait for a ping's answer.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of one answer that may wait here for a slow client.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// Bytes of all answers of a connection that may wait here.
const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// What waiting messages may cost beside their bytes. A stream of tiny messages to a slow client fills its window with tens of
/// thousands of frames; below that h2 would take it for an attack and end the connection with all other calls on it.
const FRAME_BUDGET_BYTES: usize = 256 * 1024 * 1024;
/// Largest header block of an answer, in bytes.
const MAX_HEADER_BYTES: u32 = 32 * 1024;
/// Largest frame that is taken at once; larger ones cost fewer steps for a large answer.
const MAX_FRAME_BYTES: u32 = 64 * 1024;
/// Calls at once before the upstream said how many it takes: what HTTP/2 recommends as the least.
const FIRST_STREAMS: usize = 100;
/// Streams of one connection that were reset for the upstream's errors.
const MAX_LOCAL_ERROR_RESETS: usize = 1_024;

/// Why a call did not get an answer.
#[derive(Debug)]
pub(super) struct Failure {
    /// Whether the upstream has certainly not begun with it.
    pub(super) never_sent: bool,
    cause: Box<dyn std::error::Error + Send + Sync>,
}

impl Failure {
    pub(super) fn never_sent(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self {
            never_sent: true,
            cause: cause.into(),
        }
    }

    /// How a stream ended that had been opened.
    pub(super) fn of_stream(error: h2::Error) -> Self {
        // The peer says which streams it will not look at: by name, or all after the last of its GOAWAY.
        let refused = error.reason() == Some(Reason::REFUSED_STREAM);
        let after_the_last = error.is_go_away() && error.is_remote();
        Self {
            never_sent: refused || after_the_last,
            cause: error.into(),
        }
    }

    /// What the client hears: nothing of the transport.
    pub(super) fn status(self) -> Status {
        Status::unavailable()
    }

    pub(super) fn log(&self, upstream: &str, endpoint: &str) {
        tracing::warn!(
            upstream,
            endpoint,
            never_sent = self.never_sent,
            error = &*self.cause,
            "call broke"
        );
    }
}

/// A connection that was made.
#[derive(Debug)]
pub(super) struct Connection {
    sender: client::SendRequest<Bytes>,
    calls: AtomicUsize,
    closed: AtomicBool,
}

/// A call's share in the load of its connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Load(Arc<Connection>);

impl Drop for Load {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Connection {
    /// Connects, and keeps the connection going on the runtime at hand. `lost` is called once, when it broke.
    pub(super) async fn open(
        host: &str,
        port: u16,
        lost: impl FnOnce() + Send + 'static,
    ) -> Result<Arc<Self>, Failure> {
        let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect((host, port))).await;
        let stream = stream.map_err(Failure::never_sent)?;
        let stream = stream.map_err(Failure::never_sent)?;
        stream.set_nodelay(true).map_err(Failure::never_sent)?;
        let mut builder = client::Builder::new();
        builder
            .enable_push(false)
            .initial_max_send_streams(FIRST_STREAMS)
            .initial_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .data_frame_budget(FRAME_BUDGET_BYTES)
            .max_frame_size(MAX_FRAME_BYTES)
            .max_header_list_size(MAX_HEADER_BYTES)
            .max_local_error_reset_streams(Some(MAX_LOCAL_ERROR_RESETS));
        let handshake = timeout(CONNECT_TIMEOUT, builder.handshake(stream)).await;
        let (sender, mut driver) = handshake
            .map_err(Failure::never_sent)?
            .map_err(Failure::never_sent)?;
        let pings = driver.ping_pong();
        let connection = Arc::new(Self {
            sender,
            calls: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
        });
        let driven = connection.clone();
        let task = tokio::spawn(async move {
            let broke = driver.await;
            driven.closed.store(true, Ordering::Release);
            if let Err(error) = broke {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "upstream connection ended"
                );
                lost();
            }
        });
        let Some(mut pings) = pings else {
            return Ok(connection);
        };
        // HTTP/2 may speak before it is answered, but whoever does not answer is no upstream: calls are made elsewhere.
        let answered = timeout(CONNECT_TIMEOUT, pings.ping(Ping::opaque())).await;
        if !matches!(answered, Ok(Ok(_))) {
            task.abort();
            return Err(Failure::never_sent(
                "what listens there does not speak HTTP/2",
            ));
        }
        // Beside the connection, not in it: its task runs for every call.
        let watched = connection.clone();
        tokio::spawn(async move {
            watched.until_silent(pings).await;
            watched.closed.store(true, Ordering::Release);
            task.abort();
        });
        Ok(connection)
    }

    /// Ends when the connection has ended, or when the peer does not answer a ping.
    async fn until_silent(&self, mut pings: PingPong) {
        loop {
            tokio::time::sleep(KEEP_ALIVE_INTERVAL).await;
            if self.is_closed() {
                return;
            }
            match timeout(KEEP_ALIVE_TIMEOUT, pings.ping(Ping::opaque())).await {
                Ok(Ok(_)) => {}
                Ok(Err(_)) => return,
                Err(_) => {
                    tracing::warn!("an upstream does not answer pings");
                    return;
                }
            }
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Calls that have begun and not ended.
    pub(super) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// Opens a stream for a call.
    pub(super) fn begin(self: &Arc<Self>, head: Request<()>) -> Result<(Outgoing, Reply), Failure> {
        // A handle is its own queue; how many calls there are is bounded where requests come in.
        let mut sender = self.sender.clone();
        match sender.send_request(head, false) {
            Ok((response, outgoing)) => {
                self.calls.fetch_add(1, Ordering::Relaxed);
                let load = Load(self.clone());
                Ok((Outgoing::new(outgoing), Reply::new(response, load)))
            }
            Err(error) => {
                self.closed.store(true, Ordering::Release);
                Err(Failure::never_sent(error))
            }
        }
    }
}

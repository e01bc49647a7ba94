//! One HTTP/2 connection.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use h2::{Ping, PingPong, Reason, client};
use http::Request;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Notify,
    time::timeout,
};

use super::{
    call::{Outgoing, Reply},
    origin::Origin,
    socket::Socket,
};
use crate::status::Status;

/// Longest time to connect, and then again to shake hands.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Time between pings, so that a partition is noticed also while nothing comes.
pub(super) const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// Longest wait for a ping's answer.
pub(super) const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Time between two looks whether the last call of a connection that is no longer needed has ended.
const RETIRED_LOOK: Duration = Duration::from_millis(250);
/// Bytes of one answer that may wait here for a slow client.
pub(super) const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// Bytes of all answers of a connection that may wait here.
pub(super) const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// What waiting messages may cost beside their bytes. A stream of tiny messages to a slow client fills its window with tens of
/// thousands of frames; below that h2 would take it for an attack and end the connection with all other calls on it.
const FRAME_BUDGET_BYTES: usize = 256 * 1024 * 1024;
/// Largest header block of an answer, in bytes.
pub(super) const MAX_HEADER_BYTES: u32 = 32 * 1024;
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
    is_retired: AtomicBool,
    retired: Notify,
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
        origin: &Origin,
        address: Option<SocketAddr>,
        lost: impl FnOnce() + Send + 'static,
    ) -> Result<Arc<Self>, Failure> {
        let stream = timeout(CONNECT_TIMEOUT, origin.connect(address)).await;
        let stream = stream.map_err(Failure::never_sent)?;
        let stream = stream.map_err(Failure::never_sent)?;
        if !origin.is_secure() {
            return Self::over(stream, lost).await;
        }
        let stream = timeout(CONNECT_TIMEOUT, origin.secured(stream)).await;
        let stream = stream.map_err(Failure::never_sent)?;
        Self::over(stream.map_err(Failure::never_sent)?, lost).await
    }

    async fn over(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        lost: impl FnOnce() + Send + 'static,
    ) -> Result<Arc<Self>, Failure> {
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
        let handshake = timeout(CONNECT_TIMEOUT, builder.handshake(Socket::new(stream))).await;
        let (sender, mut driver) = handshake
            .map_err(Failure::never_sent)?
            .map_err(Failure::never_sent)?;
        let pings = driver.ping_pong();
        let connection = Arc::new(Self {
            sender,
            calls: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            is_retired: AtomicBool::new(false),
            retired: Notify::new(),
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
            watched.until_useless(pings).await;
            watched.closed.store(true, Ordering::Release);
            task.abort();
        });
        Ok(connection)
    }

    /// Ends when the connection has ended, when the peer does not answer a ping, or when nobody needs it any more.
    async fn until_useless(&self, mut pings: PingPong) {
        loop {
            if self.is_retired.load(Ordering::Acquire) {
                tokio::time::sleep(RETIRED_LOOK).await;
                if self.is_closed() || self.calls() == 0 {
                    return;
                }
                continue; // Its calls have deadlines.
            }
            // Ends early where nobody needs it any more.
            if timeout(KEEP_ALIVE_INTERVAL, self.retired.notified())
                .await
                .is_ok()
            {
                continue;
            }
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

    /// Says that no more calls come: it ends with the last one that it has.
    pub(super) fn retire(&self) {
        self.is_retired.store(true, Ordering::Release);
        self.retired.notify_one();
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

//! Connections of clients: HTTP/1.1 and HTTP/2 on one port, without TLS or with it, each with its limits.

use std::{
    convert::Infallible, future::poll_fn, net::SocketAddr, pin::pin, sync::Arc, task::Poll,
    time::Duration,
};

use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::Semaphore,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{gateway::Gateway, gathered::Gathered, pipeline, policy::Limits, tls::Tls};

/// Most requests at once on one HTTP/2 connection.
const MAX_CONCURRENT_STREAMS: u32 = 200;
/// Streams of one connection that the client reset before they were looked at (rapid reset).
const MAX_PENDING_RESETS: usize = 20;
/// Streams of one connection that were reset for the client's errors.
const MAX_LOCAL_ERROR_RESETS: usize = 1_024;
/// Pings on HTTP/2, so that a client that vanished is noticed.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// Longest wait for a ping's answer.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Headers that hyper takes where nobody says how many.
const HYPERS_MAX_HEADERS: usize = 100;
/// Wait after an accept that failed, e.g. for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `drain`, then finishes what runs. Returns whether all of it ended within `drain_timeout`.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    gateway: Arc<Gateway>,
    drain: CancellationToken,
    drain_timeout: Duration,
) -> bool {
    let limits = gateway.policies.limits();
    // More wait in the system's backlog.
    let places = Arc::new(Semaphore::new(limits.connections));
    let connections = TaskTracker::new();
    let builder = builder(limits);
    let accept = async {
        loop {
            let Ok(place) = places.clone().acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((stream, peer)) => {
                    // Small answers go out at once. A socket that refuses is about to fail anyway.
                    let _ = stream.set_nodelay(true);
                    let client = Client {
                        peer,
                        builder: builder.clone(),
                        gateway: gateway.clone(),
                        drain: drain.clone(),
                    };
                    let tls = tls.clone();
                    connections.spawn(async move {
                        match tls {
                            None => client.serve(Gathered::new(stream)).await,
                            Some(tls) => {
                                if let Some(stream) = tls.accept(stream).await {
                                    client.serve(stream).await;
                                }
                            }
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    let _ = drain.run_until_cancelled(accept).await;
    drop(listener);
    tracing::info!(connections = connections.len(), "draining");
    connections.close();
    let ended = async {
        connections.wait().await;
        // Only now, since a connection may still become a socket.
        gateway.sockets.close();
        gateway.sockets.wait().await;
    };
    timeout(drain_timeout, ended).await.is_ok()
}

fn builder(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // Where nobody says how many, hyper does not fill a table for them at each request.
    if limits.headers != HYPERS_MAX_HEADERS {
        builder.http1().max_headers(limits.headers);
    }
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(limits.header_bytes);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
        // For WebSockets.
        .enable_connect_protocol()
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_LOCAL_ERROR_RESETS)
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
    builder
}

/// A connection that was accepted.
struct Client {
    peer: SocketAddr,
    builder: auto::Builder<TokioExecutor>,
    gateway: Arc<Gateway>,
    drain: CancellationToken,
}

impl Client {
    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let (gateway, peer) = (self.gateway, self.peer);
        let service = service_fn(move |request| {
            let gateway = gateway.clone();
            async move { Ok::<_, Infallible>(pipeline::answer(gateway, peer, request).await) }
        });
        let connection = self
            .builder
            .serve_connection_with_upgrades(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        let mut drained = pin!(self.drain.cancelled());
        let mut is_watched = false;
        let outcome = poll_fn(|context| {
            // The wake-up of this task is asked for once; after that a look at the token is enough, at each request.
            let is_draining = match is_watched {
                false => drained.as_mut().poll(context).is_ready(),
                true => self.drain.is_cancelled(),
            };
            is_watched = true;
            match connection.as_mut().poll(context) {
                Poll::Pending if is_draining => Poll::Ready(None),
                polled => polled.map(Some),
            }
        });
        let outcome = match outcome.await {
            Some(outcome) => outcome,
            None => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = outcome {
            // The client's doing: it went away or does not speak HTTP.
            tracing::debug!(
                error = &*error as &dyn std::error::Error,
                "connection ended"
            );
        }
    }
}

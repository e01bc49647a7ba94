//! Upstreams that speak plain HTTP: connections to them that are kept from request to request, each worker its own.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Mutex as AsyncMutex,
    time::timeout,
};

use super::{
    Origin,
    connection::{
        CONNECT_TIMEOUT, CONNECTION_WINDOW_BYTES, KEEP_ALIVE_INTERVAL, KEEP_ALIVE_TIMEOUT,
        MAX_HEADER_BYTES, STREAM_WINDOW_BYTES,
    },
    health::{Health, Peers, State},
    origin::HTTP2,
};
use crate::{answer::Broken, plain::Sent, worker};

/// Most idle connections of one worker to one endpoint.
const MAX_IDLE: usize = 64;
/// Longest time that a connection is kept idle: less than usual servers do, so that they are not the first to end it.
const MAX_IDLE_TIME: Duration = Duration::from_secs(4);
/// HTTP/1.1 by its name in TLS.
const HTTP1: &[u8] = b"http/1.1";

/// One system at one or more addresses.
#[derive(Debug)]
pub(crate) struct Site {
    endpoints: Box<[Arc<Endpoint>]>,
    next: AtomicUsize,
    peers: Arc<Peers>,
    is_http2: bool,
}

#[derive(Debug)]
struct Endpoint {
    origin: Origin,
    health: Arc<Health>,
    /// One a worker.
    lanes: Box<[Lane]>,
}

/// The connections of one worker.
#[derive(Debug, Default)]
struct Lane {
    idle: Mutex<Vec<(http1::SendRequest<Sent>, Instant)>>,
    /// All requests of HTTP/2 share one.
    shared: AsyncMutex<Option<http2::SendRequest<Sent>>>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// No connection can be made.
    Unreached,
    /// A connection broke, or what came was no HTTP.
    Broke,
}

/// A connection that takes a request.
enum Link {
    Http1(http1::SendRequest<Sent>),
    Http2(http2::SendRequest<Sent>),
}

/// What a request needs of the one that it is sent by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// One request and its answer.
    Once,
    /// The same, which may be made twice.
    Repeatable,
    /// The connection itself, once it was answered.
    Upgrade,
}

impl Site {
    /// The system `name` at `origins`, called by `workers` workers.
    pub(super) fn new(name: &str, origins: Vec<Origin>, workers: usize, is_http2: bool) -> Self {
        let peers = Arc::new(Peers::new(name));
        let endpoints = origins.into_iter().map(|origin| {
            Arc::new(Endpoint {
                origin,
                health: Arc::new(Health::new(&peers)),
                lanes: (0..workers.max(1)).map(|_| Lane::default()).collect(),
            })
        });
        let endpoints: Box<[_]> = endpoints.collect();
        peers.set_count(endpoints.len());
        Self {
            endpoints,
            next: AtomicUsize::new(0),
            peers,
            is_http2,
        }
    }

    pub(crate) fn is_http2(&self) -> bool {
        self.is_http2
    }

    /// Sends a request, whose head `head` makes for the one that gets it. Nothing of it is sent twice, unless it is repeatable
    /// and a kept connection ended at the same moment.
    pub(crate) async fn send(
        &self,
        head: impl Fn(&Origin) -> Request<()>,
        mut body: Sent,
        of: Use,
    ) -> Result<(Response<Incoming>, Option<Kept>), NoAnswer> {
        let mut tried = Vec::new();
        let mut may_be_kept = of != Use::Upgrade;
        while let Some(endpoint) = self.pick(&tried) {
            let (link, was_kept) = match endpoint.link(self.is_http2, may_be_kept).await {
                Ok(link) => link,
                Err(error) => {
                    self.log(endpoint, &*error);
                    endpoint.health.failed();
                    tried.push(endpoint.clone());
                    continue;
                }
            };
            // Of those that were kept, more may have ended; one failure is enough to make a new one.
            let is_last = !(was_kept && std::mem::take(&mut may_be_kept));
            let spare = body.nothing().filter(|_| of == Use::Repeatable);
            let request = head(&endpoint.origin).map(|()| body);
            let mut failure = match endpoint.ask(link, request, of).await {
                Ok(response) => {
                    endpoint.health.answered();
                    return Ok(response);
                }
                Err(failure) => failure,
            };
            self.log(endpoint, failure.error());
            let unsent = failure.take_message().map(Request::into_body);
            if unsent.is_some() && is_last {
                tried.push(endpoint.clone());
            }
            body = match unsent.or_else(|| spare.filter(|_| !is_last)) {
                Some(body) => body,
                None => return Err(NoAnswer::Broke),
            };
        }
        Err(NoAnswer::Unreached)
    }

    /// The next one in turn that is well, else any that was not tried.
    fn pick(&self, tried: &[Arc<Endpoint>]) -> Option<&Arc<Endpoint>> {
        let count = self.endpoints.len();
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let all = (0..count).map(|turn| &self.endpoints[(first + turn) % count]);
        let mut left = all.filter(|known| !tried.iter().any(|tried| Arc::ptr_eq(tried, known)));
        let any = left.clone().next();
        let well = left.find(|endpoint| match endpoint.health.state() {
            State::Well => true,
            State::Due(_) => endpoint.health.begin_trial(),
            State::Ejected => false,
        });
        well.or(any)
    }

    fn log(&self, endpoint: &Endpoint, error: &(dyn std::error::Error + 'static)) {
        let (upstream, endpoint) = (self.peers.name(), endpoint.origin.authority().as_str());
        tracing::warn!(upstream, endpoint, error, "request broke");
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.peers.set_count(0);
    }
}

impl Endpoint {
    fn lane(&self) -> &Lane {
        &self.lanes[worker::index() % self.lanes.len()]
    }

    /// A connection, and whether it has been used before.
    async fn link(&self, is_http2: bool, may_be_kept: bool) -> Result<(Link, bool), Broken> {
        if is_http2 {
            let mut shared = self.lane().shared.lock().await;
            let open = shared.as_ref().filter(|sender| !sender.is_closed());
            if let Some(sender) = open.filter(|_| may_be_kept) {
                return Ok((Link::Http2(sender.clone()), true));
            }
            let sender = http2_over(self.connect(HTTP2).await?).await?;
            *shared = Some(sender.clone());
            return Ok((Link::Http2(sender), false));
        }
        if let Some(kept) = may_be_kept.then(|| self.lane().take()).flatten() {
            return Ok((Link::Http1(kept), true));
        }
        let sender = http1_over(self.connect(HTTP1).await?).await?;
        Ok((Link::Http1(sender), false))
    }

    async fn connect(&self, protocol: &'static [u8]) -> Result<Box<dyn Socket>, Broken> {
        let stream = timeout(CONNECT_TIMEOUT, self.origin.connect(None)).await??;
        self.health.connected();
        if !self.origin.is_secure() {
            return Ok(Box::new(stream));
        }
        let secured = self.origin.secured_for(stream, protocol);
        Ok(Box::new(timeout(CONNECT_TIMEOUT, secured).await??))
    }

    async fn ask(
        self: &Arc<Self>,
        link: Link,
        request: Request<Sent>,
        of: Use,
    ) -> Result<(Response<Incoming>, Option<Kept>), TrySendError<Request<Sent>>> {
        let mut sender = match link {
            Link::Http2(mut sender) => {
                let response = sender.try_send_request(request).await?;
                return Ok((response, None));
            }
            Link::Http1(sender) => sender,
        };
        let response = sender.try_send_request(request).await?;
        let endpoint = self.clone();
        let kept = (of != Use::Upgrade).then_some(Kept { sender, endpoint });
        Ok((response, kept))
    }
}

/// A connection that takes another request once its answer has been read. Dropping it before ends it.
#[derive(Debug)]
pub(crate) struct Kept {
    sender: http1::SendRequest<Sent>,
    endpoint: Arc<Endpoint>,
}

impl Kept {
    /// The answer has been read to its end.
    pub(crate) fn free(mut self) {
        if self.sender.is_ready() {
            self.endpoint.lane().keep(self.sender);
            return;
        }
        tokio::spawn(async move {
            if self.sender.ready().await.is_ok() {
                self.endpoint.lane().keep(self.sender);
            }
        });
    }
}

impl Lane {
    /// The connection that was used last.
    fn take(&self) -> Option<http1::SendRequest<Sent>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((sender, since)) = idle.pop() {
            if since.elapsed() > MAX_IDLE_TIME {
                // All before it are older.
                idle.clear();
                return None;
            }
            if sender.is_ready() {
                return Some(sender);
            }
        }
        None
    }

    fn keep(&self, sender: http1::SendRequest<Sent>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(sender, since)| !sender.is_closed() && since.elapsed() <= MAX_IDLE_TIME);
        if idle.len() < MAX_IDLE {
            idle.push((sender, Instant::now()));
        }
    }
}

/// What HTTP goes over.
trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

async fn http1_over(stream: Box<dyn Socket>) -> Result<http1::SendRequest<Sent>, Broken> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // How it ends is told to those who wait for an answer.
    tokio::spawn(connection.with_upgrades());
    Ok(sender)
}

async fn http2_over(stream: Box<dyn Socket>) -> Result<http2::SendRequest<Sent>, Broken> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(MAX_HEADER_BYTES)
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
    let handshake = timeout(CONNECT_TIMEOUT, builder.handshake(TokioIo::new(stream)));
    let (sender, connection) = handshake.await??;
    tokio::spawn(connection);
    Ok(sender)
}

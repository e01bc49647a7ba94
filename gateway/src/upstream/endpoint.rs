//! One address of an upstream, with the connections to it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, Uri, Version, header, uri::PathAndQuery,
};
use tokio::sync::Mutex;

use super::{
    call::{Outgoing, Receiving, Reply},
    connection::{Connection, Failure},
    health::{Health, Peers},
    origin::Origin,
};
use crate::worker;

/// Most connections of one worker to one endpoint.
const CONNECTIONS: usize = 4;
/// Calls at once on the least loaded connection before one more is made. Few connections with many calls cost least,
/// since what many calls have to say goes out in one write; more of them keep a lost packet from holding up all.
const CALLS_PER_CONNECTION: usize = 64;
const USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("caravan-gateway/", env!("CARGO_PKG_VERSION")));

#[derive(Debug)]
pub(super) struct Endpoint {
    origin: Origin,
    /// One of the origin's addresses; `None` where its name has not been looked up yet.
    address: Option<SocketAddr>,
    /// One a worker.
    lanes: Box<[Lane]>,
    pub(super) health: Arc<Health>,
}

/// The connections of one worker.
#[derive(Debug, Default)]
struct Lane {
    places: [ArcSwapOption<Connection>; CONNECTIONS],
    /// Held while connecting, so that many calls make one connection.
    connecting: Mutex<()>,
    /// Connections that could not be made: who waited for one that failed does not try the same again.
    failures: AtomicU64,
}

impl Endpoint {
    pub(super) fn new(
        origin: &Origin,
        address: Option<SocketAddr>,
        workers: usize,
        peers: &Arc<Peers>,
    ) -> Self {
        Self {
            origin: origin.clone(),
            address,
            lanes: (0..workers.max(1)).map(|_| Lane::default()).collect(),
            health: Arc::new(Health::new(peers)),
        }
    }

    /// `host:port`
    pub(super) fn authority(&self) -> &str {
        self.origin.authority().as_str()
    }

    pub(super) fn is_of(&self, origin: &Origin) -> bool {
        self.origin.authority() == origin.authority()
    }

    /// Where exactly, as far as it is known.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Calls of this worker that have begun and not ended.
    pub(super) fn load(&self) -> usize {
        let places = self.lane().places.iter();
        let calls = |place: &ArcSwapOption<Connection>| {
            let connection = place.load();
            connection
                .as_ref()
                .map_or(0, |connection| connection.calls())
        };
        places.map(calls).sum()
    }

    /// The head of a call to this endpoint.
    pub(super) fn head(&self, path: &PathAndQuery, mut metadata: HeaderMap) -> Request<()> {
        metadata.insert(header::TE, HeaderValue::from_static("trailers"));
        metadata
            .entry(header::CONTENT_TYPE)
            .or_insert(HeaderValue::from_static("application/grpc"));
        metadata.insert(header::USER_AGENT, USER_AGENT);
        let mut uri = http::uri::Parts::default();
        uri.scheme = Some(self.origin.scheme());
        uri.authority = Some(self.origin.authority().clone());
        uri.path_and_query = Some(path.clone());
        let mut head = Request::new(());
        // All three parts are there, so this cannot fail; the path alone would be refused by h2, not misrouted.
        *head.uri_mut() = Uri::from_parts(uri).unwrap_or_default();
        *head.method_mut() = Method::POST;
        *head.version_mut() = Version::HTTP_2;
        *head.headers_mut() = metadata;
        head
    }

    /// A call with one request message.
    pub(super) async fn call(
        &self,
        head: Request<()>,
        framed: Bytes,
    ) -> Result<Response<Receiving>, Failure> {
        let (mut outgoing, reply) = self.open(head).await?;
        outgoing.send_all(framed)?;
        reply.begun().await
    }

    /// Begins a call.
    pub(super) async fn open(&self, head: Request<()>) -> Result<(Outgoing, Reply), Failure> {
        self.connection().await?.begin(head)
    }

    /// Finds out whether a connection can be made again; where it can, calls come here again.
    pub(super) async fn probe(self: Arc<Self>) {
        // How it ended is known to `health`.
        let _ = self.connect(self.lane()).await;
    }

    fn lane(&self) -> &Lane {
        &self.lanes[worker::index() % self.lanes.len()]
    }

    /// The least loaded connection, or one more where that has enough to do.
    async fn connection(&self) -> Result<Arc<Connection>, Failure> {
        let lane = self.lane();
        match lane.best() {
            Some(best) if best.calls() < CALLS_PER_CONNECTION || !lane.has_room() => Ok(best),
            // Apart from the call's own future, which is far smaller than that of a handshake.
            best => Box::pin(self.one_more(lane, best)).await,
        }
    }

    async fn one_more(
        &self,
        lane: &Lane,
        best: Option<Arc<Connection>>,
    ) -> Result<Arc<Connection>, Failure> {
        if let Some(best) = best {
            // One call waits for the new connection, others go on with what there is.
            return match lane.connecting.try_lock() {
                Ok(_connecting) => Ok(self.connect(lane).await.unwrap_or(best)),
                Err(_) => Ok(best),
            };
        }
        let failures = lane.failures.load(Ordering::Acquire);
        let _connecting = lane.connecting.lock().await;
        if let Some(connection) = lane.best() {
            return Ok(connection);
        }
        if lane.failures.load(Ordering::Acquire) != failures {
            return Err(Failure::never_sent("connecting has just failed"));
        }
        self.connect(lane).await
    }

    async fn connect(&self, lane: &Lane) -> Result<Arc<Connection>, Failure> {
        let health = self.health.clone();
        let lost = move || health.failed();
        let outcome = Connection::open(&self.origin, self.address, lost).await;
        let connection = outcome.inspect_err(|_| {
            lane.failures.fetch_add(1, Ordering::Release);
            self.health.failed();
        })?;
        self.health.connected();
        let free = lane.places.iter().find(|place| is_free(place));
        match free {
            Some(place) => place.store(Some(connection.clone())),
            // For this call only.
            None => connection.retire(),
        }
        Ok(connection)
    }
}

impl Drop for Endpoint {
    /// Connections end with their last call.
    fn drop(&mut self) {
        for place in self.lanes.iter().flat_map(|lane| &lane.places) {
            if let Some(connection) = place.swap(None) {
                connection.retire();
            }
        }
    }
}

impl Lane {
    fn best(&self) -> Option<Arc<Connection>> {
        let open = self.places.iter().filter_map(|place| {
            let connection = place.load();
            let connection = connection.as_ref()?;
            (!connection.is_closed()).then(|| connection.clone())
        });
        open.min_by_key(|connection| connection.calls())
    }

    fn has_room(&self) -> bool {
        self.places.iter().any(is_free)
    }
}

fn is_free(place: &ArcSwapOption<Connection>) -> bool {
    let connection = place.load();
    connection
        .as_ref()
        .is_none_or(|connection| connection.is_closed())
}

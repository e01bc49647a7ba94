//! Connections as they come in: so many at once and from one address, each with a time limit on its greeting.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, LazyLock, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::Stream;
use opentelemetry::{KeyValue, global, metrics::Counter};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{Instant, Sleep, timeout_at},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tonic::transport::server::Connected;

use crate::tls::Tls;

/// Longest time from a connection to the end of its greeting: TLS, then HTTP/2's preface. Pings watch over it after that.
const GREETING_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of HTTP/2's preface (RFC 9113, section 3.4).
const PREFACE_BYTES: usize = 24;
/// Connections that wait to be taken over by the server.
const MAX_WAITING: usize = 64;
/// Wait after an accept that failed, e.g. for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

static REFUSED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    global::meter("caravan")
        .u64_counter("caravan_connections_refused")
        .with_description("Connections that were closed before their first call, by reason")
        .build()
});

/// How many connections there may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// At once; more wait in the system's backlog.
    pub(crate) connections: usize,
    /// At once from one address, loopback excepted: behind it stand sidecars. More are closed.
    pub(crate) per_address: usize,
}

/// Who is at the other end of a connection; in the extensions of each of its requests.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// Its address.
    pub(crate) address: SocketAddr,
    /// The service that its certificate names.
    pub(crate) service: Option<Arc<str>>,
}

/// Takes connections for as long as the stream is kept.
pub(crate) fn connections(
    listener: TcpListener,
    limits: Limits,
    tls: Option<Arc<Tls>>,
) -> impl Stream<Item = io::Result<Connection>> {
    let (sender, mut receiver) = mpsc::channel(MAX_WAITING);
    tokio::spawn(accept(listener, Places::new(limits), tls, sender));
    futures::stream::poll_fn(move |context| receiver.poll_recv(context).map(|one| one.map(Ok)))
}

async fn accept(
    listener: TcpListener,
    places: Arc<Places>,
    tls: Option<Arc<Tls>>,
    taken: mpsc::Sender<Connection>,
) {
    loop {
        let next = async {
            let permit = places.all.clone().acquire_owned().await.ok()?;
            Some((permit, listener.accept().await))
        };
        let accepted = tokio::select! {
            () = taken.closed() => return,
            accepted = next => accepted,
        };
        match accepted {
            None => return,
            Some((permit, Ok((stream, address)))) => {
                let Some(place) = places.take(permit, address.ip()) else {
                    refuse("too_many_from_one_address", address);
                    continue;
                };
                // Small messages must not wait for the acknowledgement of the last packet. A socket that refuses is about
                // to fail anyway.
                let _ = stream.set_nodelay(true);
                let greeting = Greeting::new();
                let (tls, taken) = (tls.clone(), taken.clone());
                // Bounded by the places.
                tokio::spawn(async move {
                    let connection = match tls {
                        None => Some(Connection::plain(stream, address, greeting, place)),
                        Some(tls) => secure(&tls, stream, address, greeting, place).await,
                    };
                    if let Some(connection) = connection {
                        // Fails where the server has ended meanwhile.
                        let _ = taken.send(connection).await;
                    }
                });
            }
            Some((_, Err(error))) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn secure(
    tls: &Tls,
    stream: TcpStream,
    address: SocketAddr,
    greeting: Greeting,
    place: Place,
) -> Option<Connection> {
    let handshake = TlsAcceptor::from(tls.server()).accept(stream);
    match timeout_at(greeting.deadline, handshake).await {
        Ok(Ok(stream)) => {
            let certificates = stream.get_ref().1.peer_certificates();
            let service = tls.service_of(certificates).map(Arc::from);
            Some(Connection {
                stream: Transport::Tls(Box::new(stream)),
                peer: Peer { address, service },
                greeting: Some(greeting),
                _place: place,
            })
        }
        Ok(Err(error)) => {
            tracing::debug!(%address, error = &error as &dyn std::error::Error, "no TLS");
            refuse("no_tls", address);
            None
        }
        Err(_) => {
            refuse("greeting_timeout", address);
            None
        }
    }
}

fn refuse(reason: &'static str, address: SocketAddr) {
    REFUSED.add(1, &[KeyValue::new("reason", reason)]);
    tracing::debug!(%address, reason, "connection refused");
}

/// Counts the connections.
struct Places {
    all: Arc<Semaphore>,
    per_address: usize,
    /// Addresses with a connection; as many as there are connections at most.
    taken: Mutex<HashMap<IpAddr, usize>>,
}

impl Places {
    fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            all: Arc::new(Semaphore::new(limits.connections)),
            per_address: limits.per_address,
            taken: Mutex::default(),
        })
    }

    /// A place for a connection from `address`; `None` where it has enough of them.
    fn take(self: &Arc<Self>, permit: OwnedSemaphorePermit, address: IpAddr) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(address).or_default();
        if *count >= self.per_address && !address.is_loopback() {
            return None;
        }
        *count += 1;
        drop(taken);
        Some(Place {
            places: self.clone(),
            address,
            _permit: permit,
        })
    }
}

/// Room for one connection; given back when it is dropped.
struct Place {
    places: Arc<Places>,
    address: IpAddr,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self
            .places
            .taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.address);
            }
        }
    }
}

/// What is left of the greeting.
struct Greeting {
    deadline: Instant,
    timer: Pin<Box<Sleep>>,
    missing_bytes: usize,
}

impl Greeting {
    fn new() -> Self {
        let deadline = Instant::now() + GREETING_TIMEOUT;
        Self {
            deadline,
            timer: Box::pin(tokio::time::sleep_until(deadline)),
            missing_bytes: PREFACE_BYTES,
        }
    }
}

/// One client's connection. Its greeting must be over in time.
pub(crate) struct Connection {
    stream: Transport,
    peer: Peer,
    /// Until the preface is whole.
    greeting: Option<Greeting>,
    _place: Place,
}

enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection {
    fn plain(stream: TcpStream, address: SocketAddr, greeting: Greeting, place: Place) -> Self {
        Self {
            stream: Transport::Plain(stream),
            peer: Peer {
                address,
                service: None,
            },
            greeting: Some(greeting),
            _place: place,
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Transport::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        };
        let address = self.peer.address;
        let Some(greeting) = &mut self.greeting else {
            return read;
        };
        if read.is_pending() {
            ready!(greeting.timer.as_mut().poll(context));
            refuse("greeting_timeout", address);
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let arrived = buffer.filled().len() - before;
        greeting.missing_bytes = greeting.missing_bytes.saturating_sub(arrived);
        if greeting.missing_bytes == 0 {
            self.greeting = None;
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Transport::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Transport::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Transport::Plain(stream) => stream.is_write_vectored(),
            Transport::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_flush(context),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const LIMITS: Limits = Limits {
        connections: 2,
        per_address: 1,
    };

    async fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    #[test]
    fn one_address_does_not_take_every_place() {
        let places = Places::new(Limits {
            connections: 10,
            ..LIMITS
        });
        let take = |address: &str| {
            let permit = places.all.clone().try_acquire_owned().unwrap();
            places.take(permit, address.parse().unwrap())
        };
        let first = take("192.0.2.1");
        assert!(first.is_some());
        assert!(take("192.0.2.1").is_none());
        assert!(take("192.0.2.2").is_some());
        drop(first);
        assert!(take("192.0.2.1").is_some());
        let sidecar = [take("127.0.0.6"), take("127.0.0.6")];
        assert!(sidecar.iter().all(Option::is_some));
        drop(sidecar);
        assert!(places.taken.lock().unwrap().is_empty());
        assert_eq!(places.all.available_permits(), 10);
    }

    #[tokio::test]
    async fn more_than_the_limit_wait_for_a_place() {
        let (listener, address) = listener().await;
        let mut connections = Box::pin(connections(listener, LIMITS, None));
        let mut clients = Vec::new();
        for _ in 0..3 {
            clients.push(TcpStream::connect(address).await.unwrap());
        }
        let first = connections.next().await.unwrap().unwrap();
        let second = connections.next().await.unwrap().unwrap();
        assert!(futures::poll!(connections.next()).is_pending());
        drop(first);
        connections.next().await.unwrap().unwrap();
        drop(second);
    }

    #[tokio::test(start_paused = true)]
    async fn a_greeting_has_its_time_and_not_more() {
        let (listener, address) = listener().await;
        let mut connections = Box::pin(connections(listener, LIMITS, None));
        let mut silent = TcpStream::connect(address).await.unwrap();
        silent.write_all(&[b'P'; PREFACE_BYTES - 1]).await.unwrap();
        let mut connection = connections.next().await.unwrap().unwrap();
        let mut bytes = Vec::new();
        let error = connection.read_to_end(&mut bytes).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(connection);

        let mut polite = TcpStream::connect(address).await.unwrap();
        polite.write_all(&[b'P'; PREFACE_BYTES]).await.unwrap();
        let mut connection = connections.next().await.unwrap().unwrap();
        let mut preface = [0; PREFACE_BYTES];
        connection.read_exact(&mut preface).await.unwrap();
        // Long after: it may be silent now.
        let late = async {
            tokio::time::sleep(GREETING_TIMEOUT * 2).await;
            polite.write_all(b"x").await.unwrap();
        };
        let (_, read) = tokio::join!(late, connection.read_u8());
        assert_eq!(read.unwrap(), b'x');
    }
}

//! An old system: plain HTTP/1.1 and HTTP/2, whose paths say what it does.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
    sync::Notify,
};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{handshake::derive_accept_key, protocol::Role},
};

use crate::notes::PATIENCE;

pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;
type Body = UnsyncBoxBody<Bytes, Error>;

/// Bytes of a piece of the endless answer.
pub(crate) const PIECE_BYTES: usize = 10_000;

/// What came last, and how much is going on.
#[derive(Clone, Default)]
pub(crate) struct Old {
    pub(crate) last: Arc<Mutex<Option<Seen>>>,
    pub(crate) requests: Arc<AtomicUsize>,
    /// Requests whose answer has not ended.
    pub(crate) running: Arc<AtomicUsize>,
    /// Pieces of the endless answer.
    pub(crate) sent: Arc<AtomicUsize>,
    /// Bytes that were received.
    pub(crate) received: Arc<AtomicUsize>,
    pub(crate) connections: Arc<AtomicUsize>,
    /// Ends all connections.
    pub(crate) cut: Arc<Notify>,
}

#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) uri: String,
    pub(crate) host: String,
    pub(crate) headers: HeaderMap,
}

struct Running(Arc<AtomicUsize>);

impl Running {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Old {
    pub(crate) async fn serve(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let old = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(old.clone().connection(stream));
            }
        });
        address
    }

    /// The same over TLS.
    pub(crate) async fn serve_tls(&self, config: Arc<rustls::ServerConfig>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let old = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (old, acceptor) = (old.clone(), TlsAcceptor::from(config.clone()));
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        old.connection(stream).await;
                    }
                });
            }
        });
        address
    }

    pub(crate) fn seen(&self) -> Seen {
        self.last.lock().expect("last").clone().expect("a request")
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    async fn connection(self, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) {
        let _open = Running::new(&self.connections);
        let cut = self.cut.clone();
        let answer = service_fn(move |request| {
            let old = self.clone();
            async move { old.answer(request).await }
        });
        let builder = auto::Builder::new(TokioExecutor::new());
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), answer);
        tokio::select! {
            _ = connection => {}
            () = cut.notified() => {}
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, io::Error> {
        self.requests.fetch_add(1, Ordering::SeqCst);
        let uri = request.uri();
        let host = request.headers().get(header::HOST);
        let host = host.map(|host| host.to_str().expect("ASCII").to_owned());
        let path = uri.path().to_owned();
        *self.last.lock().expect("last") = Some(Seen {
            method: request.method().to_string(),
            uri: uri.path_and_query().expect("a path").to_string(),
            host: host
                .or_else(|| uri.authority().map(ToString::to_string))
                .unwrap_or_default(),
            headers: request.headers().clone(),
        });
        let running = Running::new(&self.running);
        match path.rsplit('/').next().unwrap_or_default() {
            "echo" => Ok(Response::new(self.echoed(request.into_body(), running))),
            "endless" => Ok(Response::new(self.endless(running))),
            "swallow" => {
                let mut body = request.into_body();
                while let Some(frame) = body.frame().await {
                    let frame = frame.map_err(io::Error::other)?;
                    let data = frame.into_data().unwrap_or_default();
                    self.received.fetch_add(data.len(), Ordering::SeqCst);
                }
                Ok(text("swallowed"))
            }
            "deaf" => {
                tokio::time::sleep(PATIENCE).await;
                Ok(text("nobody waited"))
            }
            "refuses" => Err(io::ErrorKind::Other.into()),
            "breaks" => {
                let broken = stream::once(async {
                    // What came before goes out first.
                    tokio::task::yield_now().await;
                    Err(Error::from("broken"))
                });
                let pieces = stream::iter([Ok(Bytes::from("begun"))]).chain(broken);
                Ok(Response::new(flow(pieces)))
            }
            "socket" => Ok(socket(request)),
            "strange" => {
                let mut answer = text("<p>strange</p>");
                *answer.status_mut() = StatusCode::UNAUTHORIZED;
                let headers = answer.headers_mut();
                for (name, value) in [
                    ("www-authenticate", "Basic"),
                    ("connection", "x-own"),
                    ("x-own", "of the connection"),
                    ("keep-alive", "timeout=5"),
                    ("set-cookie", "a=1"),
                    ("access-control-allow-origin", "https://old.example"),
                ] {
                    headers.append(name, HeaderValue::from_static(value));
                }
                headers.append(header::SET_COOKIE, HeaderValue::from_static("b=2"));
                // Which HTTP/2 does not have.
                if request.version() == http::Version::HTTP_2 {
                    for name in ["connection", "x-own", "keep-alive"] {
                        headers.remove(name);
                    }
                }
                Ok(answer)
            }
            _ => Ok(text("old")),
        }
    }

    /// What comes, as it comes, and its trailers.
    fn echoed(&self, body: Incoming, running: Running) -> Body {
        let received = self.received.clone();
        let body = body.map_frame(move |frame| {
            let _running = &running;
            received.fetch_add(frame.data_ref().map_or(0, Bytes::len), Ordering::SeqCst);
            frame
        });
        body.map_err(Into::into).boxed_unsync()
    }

    fn endless(&self, running: Running) -> Body {
        let sent = self.sent.clone();
        flow(stream::repeat_with(move || {
            let _running = &running;
            sent.fetch_add(1, Ordering::SeqCst);
            Ok(Bytes::from(vec![b'x'; PIECE_BYTES]))
        }))
    }
}

fn text(text: &'static str) -> Response<Body> {
    let body = Full::new(Bytes::from(text));
    Response::new(
        body.map_err(|never: Infallible| match never {})
            .boxed_unsync(),
    )
}

fn flow(pieces: impl futures::Stream<Item = Result<Bytes, Error>> + Send + 'static) -> Body {
    StreamBody::new(pieces.map(|piece| piece.map(Frame::data))).boxed_unsync()
}

/// Says everything again.
fn socket(mut request: Request<Incoming>) -> Response<Body> {
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY);
    let Some(key) = key.cloned() else {
        return text("no socket");
    };
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let upgraded = TokioIo::new(upgrade.await.expect("a connection"));
        let mut socket = WebSocketStream::from_raw_socket(upgraded, Role::Server, None).await;
        while let Some(Ok(message)) = socket.next().await {
            if message.is_close() || socket.send(message).await.is_err() {
                return;
            }
        }
    });
    let mut answer = text("");
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    let accept = derive_accept_key(key.as_bytes());
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept.parse().expect("ASCII"));
    answer
}

/// A server that speaks no HTTP, or stops in the middle of an answer.
pub(crate) async fn says(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    address
}

//! Another service as far as a test needs it: a real gRPC server that answers a few methods.

use std::convert::Infallible;

use axum::{Router, body::Body, response::IntoResponse, routing::post};
use futures::stream;
use http::{HeaderMap, HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full};
use prost_reflect::prost::{Message, bytes::Bytes};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Status, server::NamedService, service::Routes, transport::Server};
use tower::{Service, ServiceExt as _};

/// Compressed flag and length in front of each gRPC message, in bytes.
const PREFIX_BYTES: usize = 5;

/// A neighbour that is about to start.
#[derive(Debug, Default)]
pub struct NeighbourBuilder {
    methods: Router,
}

/// What becomes of a call whose method a neighbour did not know beforehand.
#[derive(Debug)]
pub enum Answer {
    /// The encoded reply.
    Reply(Bytes),
    /// The encoded reply, and once more, although the rpc is unary.
    Twice(Bytes),
    /// A refusal.
    Refusal(Box<Status>),
    /// Nothing: the call breaks off.
    Lost,
}

/// A running neighbour. Ends with the value.
#[derive(Debug)]
pub struct Neighbour {
    url: String,
    server: JoinHandle<()>,
}

impl NeighbourBuilder {
    /// Answers the unary rpc at `path` (`/package.Service/Method`). Methods without an answer are UNIMPLEMENTED.
    #[must_use]
    pub fn answers<M, R>(
        mut self,
        path: &str,
        answer: impl Fn(M) -> R + Clone + Send + Sync + 'static,
    ) -> Self
    where
        M: Message + Default + 'static,
        R: Message + 'static,
    {
        let handler = post(move |body: Body| {
            let answer = answer.clone();
            async move {
                let body = body.collect().await.expect("a whole request").to_bytes();
                let message =
                    M::decode(body.slice(PREFIX_BYTES..)).expect("the contract's message");
                reply(&[&answer(message).encode_to_vec()])
            }
        });
        self.methods = self.methods.route(path, handler);
        self
    }

    /// Answers every other unary rpc, by path, metadata and encoded message.
    #[must_use]
    pub fn otherwise<F>(
        mut self,
        answer: impl Fn(String, HeaderMap, Bytes) -> F + Clone + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Answer> + Send,
    {
        let handler = move |path: Uri, metadata: HeaderMap, body: Body| {
            let answer = answer.clone();
            async move { answer(path.path().to_owned(), metadata, message(body).await).await }
        };
        self.methods = self.methods.fallback(handler);
        self
    }

    /// Answers the unary rpc at `path`, by metadata and encoded message.
    #[must_use]
    pub fn at<F>(
        mut self,
        path: &str,
        answer: impl Fn(HeaderMap, Bytes) -> F + Clone + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Answer> + Send,
    {
        let handler = post(move |metadata: HeaderMap, body: Body| {
            let answer = answer.clone();
            async move { answer(metadata, message(body).await).await }
        });
        self.methods = self.methods.route(path, handler);
        self
    }

    /// Has a whole gRPC service beside its methods.
    #[must_use]
    pub fn serves<S>(mut self, service: S) -> Self
    where
        S: Service<Request<tonic::body::Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Response: IntoResponse,
        S::Future: Send + 'static,
    {
        let path = format!("/{}/{{*method}}", S::NAME);
        let service =
            service.map_request(|request: Request<Body>| request.map(tonic::body::Body::new));
        self.methods = self.methods.route_service(&path, service);
        self
    }

    /// Starts it on a free port.
    ///
    /// # Panics
    /// Where there is no port.
    pub async fn start(self) -> Neighbour {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let server = Server::builder()
            .add_routes(Routes::from(self.methods))
            .serve_with_incoming(TcpListenerStream::new(listener));
        let server = tokio::spawn(async move { server.await.expect("serves until it is dropped") });
        Neighbour { url, server }
    }
}

impl Neighbour {
    /// A neighbour without methods yet.
    pub fn builder() -> NeighbourBuilder {
        NeighbourBuilder::default()
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn message(body: Body) -> Bytes {
    let body = body.collect().await.expect("a whole request").to_bytes();
    body.slice(PREFIX_BYTES..)
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response<Body> {
        match self {
            Self::Reply(message) => reply(&[&message]),
            Self::Twice(message) => reply(&[&message, &message]),
            Self::Refusal(status) => status.into_http(),
            Self::Lost => broken_off(),
        }
    }
}

fn reply(messages: &[&[u8]]) -> Response<Body> {
    let mut frames = Vec::new();
    for message in messages {
        let length = u32::try_from(message.len()).expect("at most 4 GiB");
        frames.push(0);
        frames.extend(length.to_be_bytes());
        frames.extend(*message);
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(Bytes::from(frames)).with_trailers(async move { Some(Ok(trailers)) });
    respond(Body::new(body))
}

/// An answer that never ends well: its stream is reset.
fn broken_off() -> Response<Body> {
    let error = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    respond(Body::from_stream(stream::iter([Err::<Bytes, _>(error)])))
}

fn respond(body: Body) -> Response<Body> {
    Response::builder()
        .header("content-type", "application/grpc")
        .body(body)
        .expect("well-formed")
}

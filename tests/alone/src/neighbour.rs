//! Another service as far as a test needs it: a real gRPC server that answers a few methods.

use axum::{Router, body::Body, routing::post};
use http::{HeaderMap, HeaderValue, Response};
use http_body_util::{BodyExt as _, Full};
use prost_reflect::prost::{Message, bytes::Bytes};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{service::Routes, transport::Server};

/// Compressed flag and length in front of each gRPC message, in bytes.
const PREFIX_BYTES: usize = 5;

/// A neighbour that is about to start.
#[derive(Debug, Default)]
pub struct NeighbourBuilder {
    methods: Router,
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
                reply(&answer(message))
            }
        });
        self.methods = self.methods.route(path, handler);
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

fn reply(message: &impl Message) -> Response<Body> {
    let message = message.encode_to_vec();
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len()).expect("small").to_be_bytes());
    frame.extend(message);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(Bytes::from(frame)).with_trailers(async move { Some(Ok(trailers)) });
    Response::builder()
        .header("content-type", "application/grpc")
        .body(Body::new(body))
        .expect("well-formed")
}

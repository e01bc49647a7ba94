//! An OTLP collector that keeps the bytes that it gets.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use http_body_util::BodyExt as _;
use tokio::net::TcpListener;
use tonic::{
    body::Body,
    server::NamedService,
    transport::{Server, server::TcpIncoming},
};

/// What an OTLP collector gets, as bytes. `TRACES` or else metrics.
#[derive(Clone, Default)]
struct Collector<const TRACES: bool>(Arc<Mutex<Vec<u8>>>);

impl NamedService for Collector<true> {
    const NAME: &'static str = "opentelemetry.proto.collector.trace.v1.TraceService";
}

impl NamedService for Collector<false> {
    const NAME: &'static str = "opentelemetry.proto.collector.metrics.v1.MetricsService";
}

impl<const TRACES: bool> tower::Service<http::Request<Body>> for Collector<TRACES> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<http::Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let got = self.0.clone();
        tokio::spawn(async move {
            if let Ok(body) = request.into_body().collect().await {
                let mut got = got.lock().unwrap_or_else(PoisonError::into_inner);
                got.extend(body.to_bytes());
            }
        });
        // An empty message and the end: the collector has taken everything.
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
        let frame = bytes::Bytes::from_static(&[0; 5]);
        let body = http_body_util::Full::new(frame).with_trailers(ready(Some(Ok(trailers))));
        ready(Ok(http::Response::builder()
            .header("content-type", "application/grpc")
            .body(Body::new(body))
            .expect("well-formed")))
    }
}

/// Starts a collector; answers its URL and what it gets.
pub(crate) async fn collector() -> (String, [Arc<Mutex<Vec<u8>>>; 2]) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let (traces, metrics) = (Collector::<true>::default(), Collector::<false>::default());
    let got = [traces.0.clone(), metrics.0.clone()];
    let server = Server::builder().add_service(traces).add_service(metrics);
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    (url, got)
}

//! For tests: a gRPC server that answers every unary call by a closure over bytes.

use std::sync::Arc;

use axum::extract::Request;
use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use tokio::net::TcpListener;
use tonic::{
    Status,
    service::Routes,
    transport::{Server, server::TcpIncoming},
};

/// Serves on a free port for as long as the runtime lives. Returns its URL.
pub(crate) async fn grpc_double<F>(answer: F) -> String
where
    F: Fn(&Request) -> Result<Vec<u8>, Status> + Send + Sync + 'static,
{
    let answer = Arc::new(answer);
    let router = axum::Router::new().fallback(move |request: Request| {
        let response = match answer(&request) {
            Ok(message) => unary(&message),
            Err(status) => crate::server::answer(&status),
        };
        async { response }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(
        Server::builder().serve_with_incoming(Routes::from(router), TcpIncoming::from(listener)),
    );
    format!("http://{address}")
}

/// One uncompressed message, then the trailers.
fn unary(message: &[u8]) -> Response<axum::body::Body> {
    let mut data = vec![0];
    data.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    data.extend(message);
    let mut trailers = HeaderMap::new();
    trailers.insert(Status::GRPC_STATUS, "0".parse().unwrap());
    let frames = [
        Ok::<_, Status>(Frame::data(Bytes::from(data))),
        Ok(Frame::trailers(trailers)),
    ];
    Response::builder()
        .header("content-type", "application/grpc")
        .body(axum::body::Body::new(StreamBody::new(tokio_stream::iter(
            frames,
        ))))
        .unwrap()
}

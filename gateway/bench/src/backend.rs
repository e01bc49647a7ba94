//! The service behind every proxy: fixed answers over gRPC.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

use crate::contract::{Answers, Contract, TICKS};

/// Serves until the process ends; tells the port on stdout.
pub(crate) async fn serve() -> anyhow::Result<()> {
    let answers = Arc::new(Contract::compile()?.answers()?);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    crate::say_port(listener.local_addr()?.port())?;
    loop {
        let (stream, _) = listener.accept().await.context("accept")?;
        stream.set_nodelay(true)?;
        let answers = answers.clone();
        let service = service_fn(move |request| answer(answers.clone(), request));
        tokio::spawn(async move {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder.max_concurrent_streams(1_000);
            // A proxy that goes away ends its connection.
            let _ = builder
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    answers: Arc<Answers>,
    request: Request<Incoming>,
) -> Result<Response<Messages>, Infallible> {
    let (head, body) = request.into_parts();
    // A client that breaks off does not hear the answer.
    let _ = body.collect().await;
    let (message, count) = match head.uri.path() {
        "/bench.v1.BenchService/GetShelf" => (&answers.shelf, 1),
        "/bench.v1.BenchService/GetArchive" => (&answers.archive, 1),
        "/bench.v1.BenchService/PlaceOrder" => (&answers.receipt, 1),
        _ => (&answers.tick, TICKS),
    };
    let mut response = Response::new(Messages {
        message: message.clone(),
        left: count,
        ended: false,
    });
    let grpc = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(header::CONTENT_TYPE, grpc);
    Ok(response)
}

/// The same message again and again, then trailers.
struct Messages {
    message: Bytes,
    left: u64,
    ended: bool,
}

impl Body for Messages {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = if self.left > 0 {
            self.left -= 1;
            Frame::data(self.message.clone())
        } else if !self.ended {
            self.ended = true;
            let ok = (
                http::HeaderName::from_static("grpc-status"),
                HeaderValue::from_static("0"),
            );
            Frame::trailers(HeaderMap::from_iter([ok]))
        } else {
            return Poll::Ready(None);
        };
        Poll::Ready(Some(Ok(frame)))
    }
}

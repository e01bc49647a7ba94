//! The service behind every proxy: fixed answers over gRPC.
//!
//! It shares its core with the load, so it is as cheap as can be: the proxy is to be what limits, not what stands around it.

use std::{
    future::{Future as _, poll_fn},
    pin::Pin,
    sync::Arc,
    task::Poll,
};

use anyhow::Context as _;
use bytes::Bytes;
use h2::{
    RecvStream, SendStream,
    server::{self, SendResponse},
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use tokio::net::{TcpListener, TcpStream};

use crate::contract::{Answers, Contract, TICKS};

/// Calls at once on one connection.
const MAX_CONCURRENT_STREAMS: u32 = 1_000;
/// Bytes of one request that may wait here.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
/// Bytes of all requests of a connection that may wait here.
const CONNECTION_WINDOW_BYTES: u32 = 16 * 1024 * 1024;

/// A call that has just come.
type Call = (Request<RecvStream>, SendResponse<Bytes>);

/// Serves until the process ends; tells the port on stdout.
pub(crate) async fn serve() -> anyhow::Result<()> {
    let answers = Arc::new(Contract::compile()?.answers()?);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    crate::say_port(listener.local_addr()?.port())?;
    loop {
        let (stream, _) = listener.accept().await.context("accept")?;
        stream.set_nodelay(true)?;
        // A proxy that goes away ends its connection.
        tokio::spawn(connection(stream, answers.clone()));
    }
}

async fn connection(stream: TcpStream, answers: Arc<Answers>) -> Result<(), h2::Error> {
    let mut builder = server::Builder::new();
    builder
        .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    let mut connection = builder.handshake(stream).await?;
    let mut calls: Vec<Call> = Vec::new();
    loop {
        // All that have come are answered together, so that their answers go out in one write.
        let is_open = poll_fn(|context| {
            loop {
                match connection.poll_accept(context) {
                    Poll::Ready(Some(call)) => calls.push(call?),
                    Poll::Ready(None) => return Poll::Ready(Ok::<_, h2::Error>(false)),
                    Poll::Pending if calls.is_empty() => return Poll::Pending,
                    Poll::Pending => return Poll::Ready(Ok(true)),
                }
            }
        });
        if !is_open.await? {
            return Ok(());
        }
        for call in calls.drain(..) {
            let mut answering = Box::pin(answer(call, answers.clone()));
            // Only what must wait for its request or for room is a task of its own.
            let polled = poll_fn(|context| Poll::Ready(answering.as_mut().poll(context)));
            if polled.await.is_pending() {
                tokio::spawn(answering);
            }
        }
    }
}

async fn answer((request, mut to): Call, answers: Arc<Answers>) -> Result<(), h2::Error> {
    let (head, mut body) = request.into_parts();
    while let Some(bytes) = body.data().await {
        body.flow_control().release_capacity(bytes?.len())?;
    }
    let (message, count) = match head.uri.path() {
        "/bench.v1.BenchService/GetShelf" => (&answers.shelf, 1),
        "/bench.v1.BenchService/GetArchive" => (&answers.archive, 1),
        "/bench.v1.BenchService/PlaceOrder" => (&answers.receipt, 1),
        _ => (&answers.tick, TICKS),
    };
    let mut response = Response::new(());
    let grpc = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(header::CONTENT_TYPE, grpc);
    let mut stream = to.send_response(response, false)?;
    for _ in 0..count {
        send(&mut stream, message.clone()).await?;
    }
    let ok = (
        HeaderName::from_static("grpc-status"),
        HeaderValue::from_static("0"),
    );
    stream.send_trailers(HeaderMap::from_iter([ok]))
}

/// Sends a message as the proxy takes it.
async fn send(stream: &mut SendStream<Bytes>, mut message: Bytes) -> Result<(), h2::Error> {
    while !message.is_empty() {
        stream.reserve_capacity(message.len());
        let room = poll_fn(|context| Pin::new(&mut *stream).poll_capacity(context)).await;
        let room = room.unwrap_or(Err(h2::Reason::CANCEL.into()))?;
        stream.send_data(message.split_to(room.min(message.len())), false)?;
    }
    Ok(())
}

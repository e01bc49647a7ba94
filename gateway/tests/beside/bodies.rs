//! Bodies to old systems and back: both ways at once, slow sides, clients that go, and the connections under them.

use std::{convert::Infallible, sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use http::Request;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;

use super::{
    World, nowhere,
    old::{Old, PIECE_BYTES},
    prefixes::{VERSIONS, prefix, world},
    send, status, until,
};
use crate::notes::PATIENCE;

/// More than the buffers of four sockets and two flow-control windows, in bytes.
const MOST_WAITING_BYTES: usize = 64 * 1024 * 1024;

/// A body that is sent piece by piece.
pub(crate) fn body() -> (
    mpsc::Sender<Result<Frame<Bytes>, Infallible>>,
    reqwest::Body,
) {
    let (pieces, receiver) = mpsc::channel(2);
    let body = StreamBody::new(ReceiverStream::new(receiver));
    (pieces, reqwest::Body::wrap(body))
}

type Frames = StreamBody<ReceiverStream<Result<Frame<Bytes>, Infallible>>>;

/// A request over HTTP/2 whose body is sent piece by piece.
async fn duplex(
    world: &World,
    path: &str,
) -> (
    mpsc::Sender<Result<Frame<Bytes>, Infallible>>,
    hyper::body::Incoming,
) {
    let stream = TcpStream::connect(world.address)
        .await
        .expect("a connection");
    let builder = http2::Builder::new(TokioExecutor::new());
    let shaken = builder.handshake::<_, Frames>(TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.expect("HTTP/2");
    tokio::spawn(connection);
    let (pieces, body) = mpsc::channel(1);
    let request = Request::post(world.at(path)).header("te", "trailers");
    let request = request.body(StreamBody::new(ReceiverStream::new(body)));
    let answer = sender.send_request(request.expect("a request"));
    let answer = timeout(PATIENCE, answer).await.expect("in time");
    (pieces, answer.expect("an answer").into_body())
}

#[tokio::test]
async fn both_sides_stream_at_once() {
    for version in VERSIONS {
        let (world, old) = world(&prefix(version)).await;
        let (pieces, mut answer) = duplex(&world, "/old/echo").await;
        for word in ["one", "two", "three"] {
            let piece = Frame::data(Bytes::from(word));
            pieces.send(Ok(piece)).await.expect("sent");
            let heard = timeout(PATIENCE, answer.frame()).await.expect("in time");
            let heard = heard.expect("a frame").expect("well-formed");
            assert_eq!(heard.into_data().expect("data"), word, "{version}");
        }
        if version.contains("true") {
            let trailers = [("x-sum", "3")].map(|(name, value)| {
                let value = http::HeaderValue::from_static(value);
                (http::HeaderName::from_static(name), value)
            });
            let trailers = Frame::trailers(trailers.into_iter().collect());
            pieces.send(Ok(trailers)).await.expect("sent");
            let heard = timeout(PATIENCE, answer.frame()).await.expect("in time");
            let heard = heard.expect("a frame").expect("well-formed");
            assert_eq!(heard.into_trailers().expect("trailers")["x-sum"], "3");
        }
        drop(pieces);
        let end = timeout(PATIENCE, answer.collect()).await.expect("in time");
        let rest = end.expect("a whole body").to_bytes();
        assert!(rest.is_empty(), "{version}: {rest:?}");
        assert_eq!(old.received.load(Ordering::SeqCst), 11);
    }
}

/// Waits until a count stands still: every buffer on the way is full then.
async fn standstill(count: impl Fn() -> usize) -> usize {
    let stands_still = async {
        let mut before = 0;
        loop {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let now = count();
            if now > 0 && now == before {
                return now;
            }
            before = now;
        }
    };
    timeout(PATIENCE, stands_still).await.expect("it stops")
}

#[tokio::test]
async fn a_slow_reader_holds_the_old_system_back_and_going_cancels() {
    for version in VERSIONS {
        let (world, old) = world(&prefix(version)).await;
        let mut answer = send(world.get("/old/endless")).await;
        answer.chunk().await.expect("a piece").expect("bytes");
        let sent = standstill(|| old.sent.load(Ordering::SeqCst)).await;
        assert!(sent * PIECE_BYTES < MOST_WAITING_BYTES, "{version}: {sent}");
        assert_eq!(old.running.load(Ordering::SeqCst), 1);
        drop(answer);
        until("the old system hears that nobody reads", || {
            old.running.load(Ordering::SeqCst) == 0
        })
        .await;
    }
}

#[tokio::test]
async fn a_client_that_goes_in_the_middle_of_its_body_is_missed() {
    for version in VERSIONS {
        let (world, old) = world(&prefix(version)).await;
        let mut stream = TcpStream::connect(world.address)
            .await
            .expect("a connection");
        let request = "POST /old/swallow HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nbegun";
        stream.write_all(request.as_bytes()).await.expect("sent");
        until("it has begun", || old.received.load(Ordering::SeqCst) == 5).await;
        assert_eq!(old.running.load(Ordering::SeqCst), 1);
        drop(stream);
        until("the old system hears of it", || {
            old.running.load(Ordering::SeqCst) == 0
        })
        .await;
    }
}

#[tokio::test]
async fn an_upload_may_take_longer_than_the_wait_for_its_answer() {
    for version in VERSIONS {
        let more = format!("{version}    deadline: 2s\n    body: 64MiB\n");
        let (world, old) = world(&prefix(&more)).await;
        let (pieces, body) = body();
        tokio::spawn(async move {
            for _ in 0..12 {
                // A slow client is the subject: longer than the deadline in all, each pause far below it.
                tokio::time::sleep(Duration::from_millis(250)).await;
                let piece = Frame::data(vec![0; 1_000].into());
                pieces.send(Ok(piece)).await.expect("sent");
            }
        });
        let post = world.client.post(world.at("/old/swallow")).body(body);
        assert_eq!(status(post).await, 200, "{version}");
        assert_eq!(old.received.load(Ordering::SeqCst), 12_000);
    }
}

#[tokio::test]
async fn connections_are_kept_and_made_anew() {
    for version in VERSIONS {
        let (world, old) = world(&prefix(version)).await;
        for _ in 0..20 {
            let answer = send(world.get("/old/a")).await;
            answer.bytes().await.expect("a whole body");
        }
        // A kept one comes back a moment after its answer was read.
        let open = old.connections.load(Ordering::SeqCst);
        assert!(open <= 4, "{version}: {open}");
        for _ in 0..5 {
            old.cut.notify_waiters();
            assert_eq!(status(world.get("/old/a")).await, 200, "{version}");
        }
    }
}

#[tokio::test]
async fn one_of_several_addresses_may_be_away() {
    for version in VERSIONS {
        let old = Old::default();
        let (_socket, address) = nowhere();
        let upstreams = [
            format!("old-shop=http://{address}"),
            format!("old-shop=http://{}", old.serve().await),
        ];
        let upstreams = upstreams.each_ref().map(String::as_str);
        let world = World::start(&upstreams, &prefix(version)).await;
        for _ in 0..10 {
            let post = world.client.post(world.at("/old/swallow")).body("x");
            assert_eq!(status(post).await, 200, "{version}");
        }
        assert_eq!(old.received.load(Ordering::SeqCst), 10);
    }
}

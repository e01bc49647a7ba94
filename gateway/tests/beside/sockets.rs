//! WebSockets of old systems.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use http::Request;
use http_body_util::Empty;
use hyper::{client::conn::http2, ext::Protocol};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message, client::IntoClientRequest as _, protocol::Role},
};

use super::{World, old::Old, until};
use crate::notes::PATIENCE;

async fn world(more: &str) -> (World, Old) {
    let old = Old::default();
    let upstream = format!("old-shop=http://{}", old.serve().await);
    let yaml = format!(
        "{more}prefixes:\n  - {{prefix: /old, upstream: old-shop, access: [public]}}\n  - {{prefix: /new, upstream: old-shop, access: [public], http2: true}}\n"
    );
    (World::start(&[&upstream], &yaml).await, old)
}

/// A WebSocket, or the status of the answer that there is instead.
async fn open(world: &World, path: &str, origin: &str) -> Result<WebSocketStream<TcpStream>, u16> {
    let url = format!("ws://{}{path}", world.address);
    let mut request = url.into_client_request().expect("a request");
    if !origin.is_empty() {
        let origin = origin.parse().expect("ASCII");
        request.headers_mut().insert("origin", origin);
    }
    let stream = TcpStream::connect(world.address)
        .await
        .expect("a connection");
    match client_async(request, stream).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(answer)) => Err(answer.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn messages_go_both_ways() {
    let (world, old) = world("").await;
    let mut socket = open(&world, "/old/socket", "").await.expect("a socket");
    for text in ["hello", "again"] {
        socket.send(Message::text(text)).await.expect("sent");
        let heard = timeout(PATIENCE, socket.next()).await.expect("in time");
        let heard = heard.expect("a frame").expect("well-formed");
        assert_eq!(heard.to_text().expect("text"), text);
    }
    assert_eq!(old.connections.load(Ordering::SeqCst), 0, "it left HTTP");
    // At a drain it ends.
    world.drain.cancel();
    let end = timeout(PATIENCE, socket.next()).await.expect("in time");
    assert!(!matches!(end, Some(Ok(Message::Text(_)))), "{end:?}");
}

#[tokio::test]
async fn what_is_no_socket_is_an_answer() {
    let (world, _old) = world("cors: {origins: ['https://shop.example']}\n").await;
    for (path, origin, expected) in [
        ("/old/socket", "https://shop.example", None),
        ("/old/socket", "https://evil.example", Some(403)),
        ("/old/else", "", Some(200)),
        ("/new/socket", "", Some(501)),
        ("/none", "", Some(404)),
    ] {
        let opened = open(&world, path, origin).await;
        assert_eq!(opened.err(), expected, "{path} {origin}");
    }
}

#[tokio::test]
async fn a_stream_of_http_2_may_become_one() {
    let (world, old) = world("").await;
    let stream = TcpStream::connect(world.address)
        .await
        .expect("a connection");
    let builder = http2::Builder::new(TokioExecutor::new());
    let shaken = builder
        .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
        .await;
    let (mut sender, connection) = shaken.expect("HTTP/2");
    tokio::spawn(connection);
    let request = Request::connect(world.at("/old/socket")).header("sec-websocket-version", "13");
    let mut request = request.body(Empty::new()).expect("a request");
    let protocol = Protocol::from_static("websocket");
    request.extensions_mut().insert(protocol);
    let answer = sender.send_request(request).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert!(!answer.headers().contains_key("sec-websocket-accept"));
    assert_eq!(old.seen().method, "GET");
    let upgraded = hyper::upgrade::on(answer).await.expect("a socket");
    let upgraded = TokioIo::new(upgraded);
    let mut socket = WebSocketStream::from_raw_socket(upgraded, Role::Client, None).await;
    socket.send(Message::text("hello")).await.expect("sent");
    let heard = timeout(PATIENCE, socket.next()).await.expect("in time");
    let heard = heard.expect("a frame").expect("well-formed");
    assert_eq!(heard.to_text().expect("text"), "hello");
    drop(socket);
    until("nothing is left", || {
        old.running.load(Ordering::SeqCst) == 0
    })
    .await;
}

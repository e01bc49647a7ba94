//! Streams over WebSocket and raw bytes as streams, over real ports: every kind, failures, slow and vanished clients.

mod chat;

use std::{sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use chat::{PATIENCE, World, until};
use futures::{SinkExt as _, StreamExt as _};
use gateway::policy::{Limits, Settings};
use http::Request;
use http_body_util::Empty;
use hyper::{client::conn::http2, ext::Protocol};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        Error, Message,
        client::IntoClientRequest as _,
        http::{HeaderValue, Response},
        protocol::{Role, frame::coding::CloseCode},
    },
};

type Socket = WebSocketStream<TcpStream>;

async fn open_with(
    world: &World,
    path: &str,
    protocols: &'static str,
) -> Result<(Socket, Response<Option<Vec<u8>>>), Error> {
    let mut request = format!("ws://{}{path}", world.address)
        .into_client_request()
        .expect("a request");
    if !protocols.is_empty() {
        let protocols = HeaderValue::from_static(protocols);
        request
            .headers_mut()
            .insert("sec-websocket-protocol", protocols);
    }
    let stream = TcpStream::connect(world.address)
        .await
        .expect("a connection");
    client_async(request, stream).await
}

async fn open(world: &World, path: &str) -> Socket {
    open_with(world, path, "").await.expect("a socket").0
}

async fn say(socket: &mut Socket, text: &str) {
    socket.send(Message::text(text)).await.expect("sent");
}

async fn next(socket: &mut Socket) -> Message {
    let next = async {
        loop {
            match socket.next().await.expect("a frame").expect("well-formed") {
                Message::Ping(_) | Message::Pong(_) => {}
                message => return message,
            }
        }
    };
    tokio::time::timeout(PATIENCE, next).await.expect("in time")
}

async fn hear(socket: &mut Socket) -> Value {
    match next(socket).await {
        Message::Text(text) => serde_json::from_str(&text).expect("JSON"),
        other => panic!("{other:?}"),
    }
}

async fn closed(socket: &mut Socket) -> (u16, String) {
    match next(socket).await {
        Message::Close(Some(close)) => (close.code.into(), close.reason.to_string()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn both_sides_talk_and_the_client_ends_first() {
    let world = World::start().await;
    let mut socket = open(&world, "/v1/rooms/tea:talk").await;
    for word in ["hello", "again"] {
        say(&mut socket, &json!({"text": word}).to_string()).await;
        assert_eq!(
            hear(&mut socket).await,
            json!({"room": "tea", "text": word, "count": 0})
        );
    }
    say(&mut socket, "").await;
    assert_eq!(hear(&mut socket).await["text"], "bye");
    assert_eq!(closed(&mut socket).await, (1000, String::new()));
}

#[tokio::test]
async fn a_client_stream_has_one_answer() {
    let world = World::start().await;
    let mut socket = open(&world, "/v1/rooms/tea:gather").await;
    for _ in 0..100 {
        say(&mut socket, r#"{"text": "x"}"#).await;
    }
    say(&mut socket, "").await;
    assert_eq!(hear(&mut socket).await["count"], 100);
    assert_eq!(closed(&mut socket).await.0, 1000);
}

#[tokio::test]
async fn a_server_stream_begins_by_itself() {
    let world = World::start().await;
    let mut socket = open(&world, "/v1/rooms/tea:listen?count=3").await;
    for count in 1..=3 {
        assert_eq!(hear(&mut socket).await["count"], count);
    }
    assert_eq!(closed(&mut socket).await.0, 1000);
}

#[tokio::test]
async fn a_failure_is_a_record_and_a_close_code() {
    let world = World::start().await;
    for (path, messages, code) in [
        ("/v1/rooms/fails:talk", 0, 4005),
        ("/v1/rooms/fails:listen?count=2", 2, 4005),
        ("/v1/rooms/tea:listen?nonsense=2", 0, 4003),
    ] {
        let mut socket = open(&world, path).await;
        if path.ends_with(":talk") {
            say(&mut socket, "{}").await;
        }
        for _ in 0..messages {
            assert!(hear(&mut socket).await.get("error").is_none());
        }
        let record = hear(&mut socket).await;
        let problem = &record["error"];
        assert!(
            problem["status"].is_u64() && problem["requestId"].is_string(),
            "{record}"
        );
        let (found, reason) = closed(&mut socket).await;
        assert_eq!(
            (found, problem["code"].as_str()),
            (code, Some(&*reason)),
            "{path}"
        );
    }
}

#[tokio::test]
async fn frames_that_are_no_messages_end_it() {
    let mut settings = Settings::off();
    settings.limits = Limits {
        message_bytes: 1000,
        ..Limits::default()
    };
    let world = World::with(settings).await;
    let mut socket = open(&world, "/v1/rooms/tea:talk").await;
    say(&mut socket, r#"{"text": 5}"#).await;
    assert_eq!(
        hear(&mut socket).await["error"]["violations"][0]["field"],
        "text"
    );
    assert_eq!(closed(&mut socket).await.0, 4003);

    let mut socket = open(&world, "/v1/rooms/tea:talk").await;
    socket
        .send(Message::binary(vec![1, 2]))
        .await
        .expect("sent");
    assert_eq!(
        closed(&mut socket).await.0,
        u16::from(CloseCode::Unsupported)
    );

    let mut socket = open(&world, "/v1/rooms/tea:talk").await;
    say(&mut socket, &json!({"text": "x".repeat(2000)}).to_string()).await;
    assert_eq!(closed(&mut socket).await.0, u16::from(CloseCode::Size));

    let mut socket = open(&world, "/v1/rooms/tea:gather").await;
    say(&mut socket, "").await;
    say(&mut socket, "{}").await;
    // The answer may be faster than the frame that nobody expects.
    let code = match next(&mut socket).await {
        Message::Close(Some(close)) => u16::from(close.code),
        _ => closed(&mut socket).await.0,
    };
    assert!(
        code == u16::from(CloseCode::Policy) || code == 1000,
        "{code}"
    );
}

#[tokio::test]
async fn a_client_that_goes_cancels_the_call() {
    let world = World::start().await;
    for leaves_politely in [true, false] {
        let mut socket = open(&world, "/v1/rooms/tea:talk").await;
        say(&mut socket, "{}").await;
        hear(&mut socket).await;
        assert_eq!(world.running.load(Ordering::SeqCst), 1);
        if leaves_politely {
            socket.close(None).await.expect("closed");
        }
        drop(socket);
        until("the call is cancelled", || {
            world.running.load(Ordering::SeqCst) == 0
        })
        .await;
    }
}

#[tokio::test]
async fn a_client_that_is_silent_is_noticed_and_one_that_answers_stays() {
    let mut settings = Settings::off();
    settings.limits.heartbeat = Duration::from_millis(100);
    let world = World::with(settings).await;
    // Answers pings by reading.
    let mut alive = open(&world, "/v1/rooms/tea:talk").await;
    say(&mut alive, "{}").await;
    hear(&mut alive).await;
    // Reads nothing, and so answers nothing.
    let silent = open(&world, "/v1/rooms/tea:talk").await;
    until("both run", || world.running.load(Ordering::SeqCst) == 2).await;
    let mut pings = 0;
    while world.running.load(Ordering::SeqCst) == 2 || pings < 5 {
        if let Message::Ping(_) = alive.next().await.expect("a frame").expect("well-formed") {
            pings += 1;
        }
        assert!(pings < 200, "the silent one is still there");
    }
    assert_eq!(world.running.load(Ordering::SeqCst), 1);
    say(&mut alive, r#"{"text": "here"}"#).await;
    assert_eq!(hear(&mut alive).await["text"], "here");
    drop(silent);
}

#[tokio::test]
async fn a_slow_reader_holds_the_service_back() {
    let world = World::start().await;
    let socket = open(&world, "/v1/rooms/endless:listen").await;
    let sent = || world.sent.load(Ordering::SeqCst);
    let mut before = 0;
    let stands_still = async {
        loop {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let now = sent();
            if now > 0 && now == before {
                return now;
            }
            before = now;
        }
    };
    let stopped_at = tokio::time::timeout(PATIENCE, stands_still)
        .await
        .expect("it stops");
    assert!(
        stopped_at * 10_000 < 64 * 1024 * 1024,
        "{stopped_at} messages are buffered"
    );
    drop(socket);
    until("the call is cancelled", || {
        world.running.load(Ordering::SeqCst) == 0
    })
    .await;
}

#[tokio::test]
async fn a_token_may_come_as_a_subprotocol() {
    let world = World::start().await;
    let protocols = "caravan.json.v1, bearer.abc.def.ghi";
    let (mut socket, response) = open_with(&world, "/v1/rooms/tea:talk", protocols)
        .await
        .expect("a socket");
    assert_eq!(
        response.headers()["sec-websocket-protocol"],
        "caravan.json.v1"
    );
    say(&mut socket, "{}").await;
    hear(&mut socket).await;
    let metadata = world.metadata.lock().expect("metadata").clone();
    assert_eq!(metadata["authorization"], "Bearer abc.def.ghi");
    assert!(metadata.contains_key("x-request-id"));
}

#[tokio::test]
async fn plain_requests_are_told_to_upgrade_and_bad_handshakes_are_refused() {
    let world = World::start().await;
    let post = world
        .client
        .post(format!("{}/v1/rooms/tea:talk", world.url))
        .body("{}");
    let response = post.send().await.expect("an answer");
    assert_eq!(
        (response.status().as_u16(), &response.headers()["upgrade"]),
        (426, &HeaderValue::from_static("websocket"))
    );

    let handshake = |version: &str| {
        let request = world.client.get(format!("{}/v1/rooms/tea:talk", world.url));
        let request = request
            .header("connection", "upgrade")
            .header("upgrade", "websocket");
        request
            .header("sec-websocket-version", version)
            .header("sec-websocket-key", "short")
            .send()
    };
    assert_eq!(handshake("8").await.expect("an answer").status(), 400);
    assert_eq!(handshake("13").await.expect("an answer").status(), 400);
}

#[tokio::test]
async fn a_stream_of_http_2_may_become_a_socket() {
    let world = World::start().await;
    let stream = TcpStream::connect(world.address)
        .await
        .expect("a connection");
    let builder = http2::Builder::new(TokioExecutor::new());
    let (mut sender, connection) = builder
        .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
        .await
        .expect("HTTP/2");
    tokio::spawn(connection);
    let connect = |path: &str| {
        let uri = format!("http://{}{path}", world.address);
        let request = Request::connect(uri).header("sec-websocket-version", "13");
        let mut request = request.body(Empty::new()).expect("a request");
        let protocol = Protocol::from_static("websocket");
        request.extensions_mut().insert(protocol);
        request
    };
    let answer = sender.send_request(connect("/v1/rooms/tea:talk")).await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.status(), 200);
    let upgraded = hyper::upgrade::on(answer).await.expect("a socket");
    let upgraded = TokioIo::new(upgraded);
    let mut socket = WebSocketStream::from_raw_socket(upgraded, Role::Client, None).await;
    for word in ["hello", "again"] {
        let text = json!({"text": word}).to_string();
        socket.send(Message::text(text)).await.expect("sent");
        let heard = timeout(PATIENCE, socket.next()).await.expect("in time");
        let heard = heard.expect("a frame").expect("well-formed");
        let heard: Value = serde_json::from_str(heard.to_text().expect("text")).expect("JSON");
        assert_eq!(heard["text"], word);
    }
    // The connection still takes other requests.
    let answer = sender.send_request(connect("/v1/nothing")).await;
    assert_eq!(answer.expect("an answer").status(), 404);
    drop(socket);
    until("the call is cancelled", || {
        world.running.load(Ordering::SeqCst) == 0
    })
    .await;
}

#[tokio::test]
async fn a_drain_ends_sockets_and_says_so() {
    let world = World::start().await;
    let mut socket = open(&world, "/v1/rooms/tea:talk").await;
    say(&mut socket, "{}").await;
    hear(&mut socket).await;
    world.drain.cancel();
    assert_eq!(hear(&mut socket).await["error"]["code"], "UNAVAILABLE");
    assert_eq!(closed(&mut socket).await.0, u16::from(CloseCode::Away));
}

#[tokio::test]
async fn bytes_stream_down_with_their_own_type() {
    let world = World::start().await;
    let response = world
        .client
        .get(format!("{}/v1/files/big:read", world.url))
        .send()
        .await
        .expect("an answer");
    assert_eq!(response.headers()["content-type"], "text/csv");
    assert_eq!(response.bytes().await.expect("a body").len(), 50 * 10_000);

    // There is no place for a record: the connection breaks, so that nobody takes it for whole.
    let response = world
        .client
        .get(format!("{}/v1/files/breaks:read", world.url))
        .send()
        .await
        .expect("an answer");
    assert_eq!(response.status(), 200);
    assert!(response.bytes().await.is_err());
    let response = world
        .client
        .get(format!("{}/v1/files/missing:read", world.url))
        .send()
        .await
        .expect("an answer");
    assert_eq!(response.status(), 404);
}

#[tokio::test]
async fn bytes_stream_up_without_being_gathered() {
    let world = World::start().await;
    let upload = |name: &str, body: reqwest::Body| {
        let request = world
            .client
            .post(format!("{}/v1/files/{name}:write", world.url));
        request.header("content-type", "text/csv").body(body).send()
    };
    // Larger than any message.
    let size = 12 * 1024 * 1024;
    let response = upload("big", vec![b'x'; size].into())
        .await
        .expect("an answer");
    let note: Value = response.json().await.expect("JSON");
    assert_eq!(
        (&note["room"], &note["count"]),
        (&json!("big text/csv"), &json!(size))
    );
    let note: Value = upload("none", "".into())
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    assert_eq!(note["count"], 0);
    // An early refusal does not wait for the rest.
    let endless = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b'x'; 10_000]));
    let response = upload("refused", reqwest::Body::wrap(body(endless))).await;
    if let Ok(response) = response {
        assert_eq!(response.status(), 403);
    }
    until("nothing runs", || world.running.load(Ordering::SeqCst) == 0).await;
}

fn body(
    chunks: impl futures::Stream<Item = Result<Vec<u8>, std::io::Error>> + Send + 'static,
) -> impl http_body::Body<Data = bytes::Bytes, Error = std::io::Error> + Send + Sync + 'static {
    use futures::StreamExt as _;
    let frames = chunks.map(|chunk| chunk.map(|chunk| http_body::Frame::data(chunk.into())));
    http_body_util::StreamBody::new(sync_wrapper(frames))
}

/// reqwest wants bodies that can be shared; nobody does.
fn sync_wrapper<S: futures::Stream + Send + 'static>(
    stream: S,
) -> impl futures::Stream<Item = S::Item> + Send + Sync + 'static
where
    S::Item: Send,
{
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    tokio::spawn(async move {
        let mut stream = std::pin::pin!(stream);
        while let Some(item) = stream.next().await {
            if sender.send(item).await.is_err() {
                return;
            }
        }
    });
    tokio_stream::wrappers::ReceiverStream::new(receiver)
}

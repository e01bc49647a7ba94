//! Every kind of stream, in both directions: failures in the middle, sides that are slow, clients that go.

mod chat;

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use chat::{Note, PATIENCE, World, until};
use futures::{SinkExt as _, Stream, StreamExt as _, future::join_all, stream};
use gateway::policy::Settings;
use http::uri::PathAndQuery;
use prost::Message as _;
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{client_async, tungstenite::Message};
use tonic::{Code, Request, client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;

type Codec = ProstCodec<Note, Note>;

/// How a server stream can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Array,
    Lines,
    Events,
    Socket,
    Grpc,
    Web,
    WebText,
}

const KINDS: [Kind; 7] = [
    Kind::Array,
    Kind::Lines,
    Kind::Events,
    Kind::Socket,
    Kind::Grpc,
    Kind::Web,
    Kind::WebText,
];

/// What comes: how many messages were whole, and how it ended.
type Pieces = Pin<Box<dyn Stream<Item = Bytes> + Send>>;

fn path(method: &str) -> PathAndQuery {
    let path = format!("/chat.v1.ChatService/{method}");
    path.parse().expect("a path")
}

async fn grpc(world: &World) -> Grpc<Channel> {
    let channel = Channel::from_shared(world.url.clone()).expect("a URL");
    let mut client = Grpc::new(channel.connect().await.expect("a connection"));
    client.ready().await.expect("ready");
    client
}

fn framed(note: &Note) -> Vec<u8> {
    let message = note.encode_to_vec();
    let mut frame = vec![0];
    frame.extend((message.len() as u32).to_be_bytes());
    frame.extend(message);
    frame
}

/// Begins to read a stream; what comes of it later is asked for piece by piece.
async fn listen(world: &World, kind: Kind, room: &str, count: i32) -> Pieces {
    let asked = Note {
        room: room.into(),
        count,
        ..Default::default()
    };
    let rest = |accept: &str| {
        let url = format!("{}/v1/rooms/{room}:listen?count={count}", world.url);
        world.client.get(url).header("accept", accept)
    };
    let web = |kind: &str, body: Vec<u8>| {
        let url = format!("{}{}", world.url, path("Listen"));
        world
            .client
            .post(url)
            .header("content-type", kind)
            .body(body)
    };
    let request = match kind {
        Kind::Array => rest("application/json"),
        Kind::Lines => rest("application/x-ndjson"),
        Kind::Events => rest("text/event-stream"),
        Kind::Web => web("application/grpc-web+proto", framed(&asked)),
        Kind::WebText => {
            use base64::{Engine as _, engine::general_purpose::STANDARD};
            web(
                "application/grpc-web-text",
                STANDARD.encode(framed(&asked)).into(),
            )
        }
        Kind::Socket => {
            let url = format!(
                "ws://{}/v1/rooms/{room}:listen?count={count}",
                world.address
            );
            let stream = TcpStream::connect(world.address)
                .await
                .expect("a connection");
            let (socket, _) = client_async(url, stream).await.expect("a socket");
            return socket
                .filter_map(async |frame| match frame.ok()? {
                    Message::Text(text) => Some(Bytes::from(text)),
                    Message::Close(Some(close)) => {
                        Some(format!("close {}", u16::from(close.code)).into())
                    }
                    _ => None,
                })
                .boxed();
        }
        Kind::Grpc => {
            let mut client = grpc(world).await;
            let call =
                client.server_streaming(Request::new(asked), path("Listen"), Codec::default());
            return call
                .await
                .expect("a stream")
                .into_inner()
                .map(|note| match note {
                    Ok(note) => note.encode_to_vec().into(),
                    Err(status) => format!("status {}", status.code() as i32).into(),
                })
                .boxed();
        }
    };
    let response = request.send().await.expect("an answer");
    assert_eq!(response.status(), 200, "{kind:?}");
    let pieces = stream::unfold(response, async |mut response| {
        let piece = response.chunk().await.expect("a piece")?;
        Some((piece, response))
    });
    pieces.boxed()
}

/// All that comes.
async fn gathered(pieces: Pieces) -> Vec<Bytes> {
    timeout(PATIENCE, pieces.collect()).await.expect("in time")
}

/// Messages of gRPC-Web, and the trailers.
fn frames(mut body: &[u8]) -> (usize, String) {
    let (mut count, mut trailers) = (0, String::new());
    while let Some((head, rest)) = body.split_at_checked(5) {
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let (frame, rest) = rest.split_at(length);
        match head[0] {
            0 => count += 1,
            _ => trailers = String::from_utf8_lossy(frame).into_owned(),
        }
        body = rest;
    }
    (count, trailers)
}

/// How many messages a stream had before it failed, and the gRPC code that it ended with.
fn outcome(kind: Kind, pieces: &[Bytes]) -> (usize, i32) {
    let body = pieces.concat();
    let code = |problem: &Value| match problem["code"].as_str() {
        Some("NOT_FOUND") => Code::NotFound as i32,
        Some("UNAVAILABLE") => Code::Unavailable as i32,
        other => panic!("{other:?}"),
    };
    let records = |records: Vec<Value>| {
        let last = records.last().expect("a record");
        (records.len() - 1, code(&last["error"]))
    };
    match kind {
        Kind::Array => records(serde_json::from_slice(&body).expect("a JSON array")),
        Kind::Lines => {
            let lines = body.split(|byte| *byte == b'\n');
            let lines = lines.filter(|line| !line.is_empty());
            records(
                lines
                    .map(|line| serde_json::from_slice(line).expect("JSON"))
                    .collect(),
            )
        }
        Kind::Events => {
            let text = String::from_utf8(body).expect("UTF-8");
            let (events, failure) = text.split_once("event: error\ndata: ").expect("a failure");
            (
                events.matches("id: ").count(),
                code(&serde_json::from_str(failure.trim()).expect("JSON")),
            )
        }
        Kind::Socket => {
            let (close, records_of) = pieces.split_last().expect("a close");
            let records_of = records_of.iter();
            let (count, code) = records(
                records_of
                    .map(|text| serde_json::from_slice(text).expect("JSON"))
                    .collect(),
            );
            assert_eq!(close, format!("close {}", 4000 + code).as_bytes());
            (count, code)
        }
        Kind::Grpc => {
            let (last, messages) = pieces.split_last().expect("an end");
            let code = last.strip_prefix(b"status ").expect("a status");
            let code = String::from_utf8_lossy(code).parse().expect("a code");
            (messages.len(), code)
        }
        Kind::Web | Kind::WebText => {
            let body = if kind == Kind::WebText {
                decoded(&body)
            } else {
                body
            };
            let (count, trailers) = frames(&body);
            let code = trailers.split("grpc-status: ").nth(1).expect("a status");
            let code = code.lines().next().expect("a line").trim();
            (count, code.parse().expect("a code"))
        }
    }
}

/// Each piece of the text is padded by itself.
fn decoded(text: &[u8]) -> Vec<u8> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let mut bytes = Vec::new();
    for group in text.chunks(4) {
        STANDARD.decode_vec(group, &mut bytes).expect("base64");
    }
    bytes
}

#[tokio::test]
async fn a_failure_in_the_middle_follows_what_came_before() {
    let world = World::start().await;
    for kind in KINDS {
        let pieces = gathered(listen(&world, kind, "fails", 3).await).await;
        assert_eq!(
            outcome(kind, &pieces),
            (3, Code::NotFound as i32),
            "{kind:?}"
        );
    }
}

#[tokio::test]
async fn a_service_that_dies_in_the_middle_is_told_in_band() {
    for kind in KINDS {
        let world = World::start().await;
        let mut pieces = listen(&world, kind, "hangs", 3).await;
        let first = timeout(PATIENCE, pieces.next()).await.expect("in time");
        world.cut.notify_waiters();
        let mut all = vec![first.expect("a piece")];
        all.extend(gathered(pieces).await);
        let (count, code) = outcome(kind, &all);
        assert!((1..=3).contains(&count), "{kind:?}: {count}");
        assert_eq!(code, Code::Unavailable as i32, "{kind:?}");
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

/// Bytes of a message of the endless stream, about.
const MESSAGE_BYTES: usize = 10_000;
/// More than the buffers of two sockets, two flow-control windows and what is being translated, in bytes.
const MOST_WAITING_BYTES: usize = 32 * 1024 * 1024;

#[tokio::test]
async fn a_slow_reader_holds_the_service_back_and_going_cancels() {
    join_all(KINDS.map(|kind| async move {
        let world = World::start().await;
        let pieces = listen(&world, kind, "endless", 0).await;
        let sent = standstill(|| world.sent.load(Ordering::SeqCst)).await;
        assert!(
            sent * MESSAGE_BYTES < MOST_WAITING_BYTES,
            "{kind:?}: {sent}"
        );
        assert_eq!(world.running.load(Ordering::SeqCst), 1, "{kind:?}");
        drop(pieces);
        until("the stream is cancelled", || {
            world.running.load(Ordering::SeqCst) == 0
        })
        .await;
    }))
    .await;
}

/// How a stream can be sent.
#[derive(Clone, Copy, Debug)]
enum Way {
    Lines,
    Socket,
    Grpc,
    Raw,
}

/// A body that never ends, and how many messages of it were taken.
fn endless(
    message: Bytes,
) -> (
    impl Stream<Item = Bytes> + Send + Sync + 'static,
    Arc<AtomicUsize>,
) {
    let taken = Arc::<AtomicUsize>::default();
    let count = taken.clone();
    let messages = stream::repeat_with(move || {
        count.fetch_add(1, Ordering::SeqCst);
        message.clone()
    });
    (messages, taken)
}

#[tokio::test]
async fn a_slow_service_holds_the_client_back_and_going_cancels() {
    let text = "x".repeat(MESSAGE_BYTES);
    let json = format!("{{\"text\":\"{text}\"}}\n");
    join_all([Way::Lines, Way::Socket, Way::Grpc, Way::Raw].map(|way| {
        let (text, json) = (text.clone(), json.clone());
        async move {
            // A client that is held back is noticed to be gone by what cannot be said to it.
            let mut settings = Settings::off();
            settings.limits.heartbeat = Duration::from_millis(100);
            let world = World::with(settings).await;
            let client = reqwest::Client::builder().http2_prior_knowledge();
            let client = client.build().expect("a client");
            let upload = |path: &str, kind: &str| {
                let (messages, taken) = endless(json.clone().into());
                let frames =
                    messages.map(|bytes| Ok::<_, std::io::Error>(http_body::Frame::data(bytes)));
                let body = reqwest::Body::wrap(http_body_util::StreamBody::new(frames));
                let request = client.post(format!("{}{path}", world.url));
                let request = request.header("content-type", kind).body(body);
                (
                    tokio::spawn(async move { drop(request.send().await) }),
                    taken,
                )
            };
            let (sending, taken) = match way {
                Way::Lines => upload("/v1/rooms/deaf:gather", "application/x-ndjson"),
                Way::Raw => upload("/v1/files/deaf:write", "text/plain"),
                Way::Socket => {
                    let url = format!("ws://{}/v1/rooms/deaf:gather", world.address);
                    let stream = TcpStream::connect(world.address)
                        .await
                        .expect("a connection");
                    let (mut socket, _) = client_async(url, stream).await.expect("a socket");
                    let (messages, taken) = endless(Bytes::from(json.clone()));
                    let sending = tokio::spawn(async move {
                        let mut messages = std::pin::pin!(messages);
                        while let Some(message) = messages.next().await {
                            let text = String::from_utf8(message.to_vec()).expect("UTF-8");
                            if socket.send(Message::text(text)).await.is_err() {
                                return;
                            }
                        }
                    });
                    (sending, taken)
                }
                Way::Grpc => {
                    let mut client = grpc(&world).await;
                    let (messages, taken) = endless(Bytes::new());
                    let notes = messages.map(move |_| Note {
                        room: "deaf".into(),
                        text: text.clone(),
                        ..Default::default()
                    });
                    let sending = tokio::spawn(async move {
                        let call = client.client_streaming(
                            Request::new(notes),
                            path("Gather"),
                            Codec::default(),
                        );
                        drop(call.await);
                    });
                    (sending, taken)
                }
            };
            let sent = standstill(|| taken.load(Ordering::SeqCst)).await;
            assert!(sent * MESSAGE_BYTES < MOST_WAITING_BYTES, "{way:?}: {sent}");
            assert_eq!(world.running.load(Ordering::SeqCst), 1, "{way:?}");
            sending.abort();
            until("the call is cancelled", || {
                world.running.load(Ordering::SeqCst) == 0
            })
            .await;
        }
    }))
    .await;
}

#[tokio::test]
async fn lines_of_json_are_a_stream_of_messages() {
    let world = World::start().await;
    let gather = |body: String, kind: &str| {
        let request = world
            .client
            .post(format!("{}/v1/rooms/tea:gather", world.url));
        request.header("content-type", kind).body(body).send()
    };
    let lines = "application/x-ndjson";
    for (body, count) in [
        ("{\"text\": \"a\"}\n{\"text\": \"b\"}\r\n\n{}".to_owned(), 3),
        (String::new(), 0),
        ("{\"count\": 1}\n".repeat(5_000), 5_000),
    ] {
        let answer = gather(body, lines).await.expect("an answer");
        assert_eq!(answer.status(), 200);
        let note: Value = answer.json().await.expect("JSON");
        assert_eq!(note["count"], count);
    }
    // What is wrong is told with its line, and the call is cancelled.
    let wrong = format!("{}{{\"text\": 5}}\n", "{}\n".repeat(10));
    let answer = gather(wrong, lines).await.expect("an answer");
    assert_eq!(answer.status(), 400);
    let problem: Value = answer.json().await.expect("JSON");
    let detail = problem["detail"].as_str().expect("a detail");
    assert!(detail.starts_with("line 11: "), "{detail}");
    assert_eq!(problem["violations"][0]["field"], "text");
    until("nothing runs", || world.running.load(Ordering::SeqCst) == 0).await;
    // One message is not a stream of them.
    let answer = gather("{}".to_owned(), "application/json")
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 426);
    // Neither is what the service refuses in the middle.
    let refused = world
        .client
        .post(format!("{}/v1/rooms/fails:gather", world.url));
    let refused = refused.header("content-type", lines).body("{}\n{}\n");
    assert_eq!(refused.send().await.expect("an answer").status(), 404);
}

//! Every kind of stream, in both directions: failures in the middle, sides that are slow, clients that go.

#[path = "../chat/mod.rs"]
mod chat;
mod kinds;

use std::{
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
use http_body::Frame;
use http_body_util::StreamBody;
use kinds::{Codec, KINDS, gathered, grpc, listen, outcome, path};
use serde_json::Value;
use tokio::{net::TcpStream, task::JoinHandle, time::timeout};
use tokio_tungstenite::{client_async, tungstenite::Message};
use tonic::{Code, Request};

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

/// Begins to send without end to a service that takes nothing; with how many messages were taken.
async fn send(world: &World, way: Way) -> (JoinHandle<()>, Arc<AtomicUsize>) {
    let text = "x".repeat(MESSAGE_BYTES);
    let json = format!("{{\"text\":\"{text}\"}}\n");
    let (messages, taken) = endless(json.into());
    let upload = |messages, path: &str, kind: &str| {
        let client = reqwest::Client::builder().http2_prior_knowledge().build();
        let request = client
            .expect("a client")
            .post(format!("{}{path}", world.url));
        let request = request.header("content-type", kind).body(body(messages));
        tokio::spawn(async move { drop(request.send().await) })
    };
    let sending = match way {
        Way::Lines => upload(messages, "/v1/rooms/deaf:gather", "application/x-ndjson"),
        Way::Raw => upload(messages, "/v1/files/deaf:write", "text/plain"),
        Way::Socket => {
            let url = format!("ws://{}/v1/rooms/deaf:gather", world.address);
            let stream = TcpStream::connect(world.address).await;
            let socket = client_async(url, stream.expect("a connection")).await;
            let (mut socket, _) = socket.expect("a socket");
            tokio::spawn(async move {
                let mut messages = std::pin::pin!(messages);
                while let Some(message) = messages.next().await {
                    let text = String::from_utf8(message.to_vec()).expect("UTF-8");
                    if socket.send(Message::text(text)).await.is_err() {
                        return;
                    }
                }
            })
        }
        Way::Grpc => {
            let mut client = grpc(world).await;
            let notes = messages.map(move |_| Note {
                room: "deaf".into(),
                text: text.clone(),
                ..Default::default()
            });
            tokio::spawn(async move {
                let notes = Request::new(notes);
                drop(
                    client
                        .client_streaming(notes, path("Gather"), Codec::default())
                        .await,
                );
            })
        }
    };
    (sending, taken)
}

fn body(messages: impl Stream<Item = Bytes> + Send + Sync + 'static) -> reqwest::Body {
    let frames = messages.map(|bytes| Ok::<_, std::io::Error>(Frame::data(bytes)));
    reqwest::Body::wrap(StreamBody::new(frames))
}

#[tokio::test]
async fn a_slow_service_holds_the_client_back_and_going_cancels() {
    join_all(
        [Way::Lines, Way::Socket, Way::Grpc, Way::Raw].map(|way| async move {
            // A client that is held back is noticed to be gone by what cannot be said to it.
            let mut settings = Settings::off();
            settings.limits.heartbeat = Duration::from_millis(100);
            let world = World::with(settings).await;
            let (sending, taken) = send(&world, way).await;
            let sent = standstill(|| taken.load(Ordering::SeqCst)).await;
            assert!(sent * MESSAGE_BYTES < MOST_WAITING_BYTES, "{way:?}: {sent}");
            assert_eq!(world.running.load(Ordering::SeqCst), 1, "{way:?}");
            sending.abort();
            until("the call is cancelled", || {
                world.running.load(Ordering::SeqCst) == 0
            })
            .await;
        }),
    )
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

#[tokio::test]
async fn the_document_says_how_streams_are_sent() {
    let world = World::start().await;
    let document = world
        .client
        .get(format!("{}/openapi.json", world.url))
        .send()
        .await;
    let document: Value = document.expect("an answer").json().await.expect("JSON");
    let post = |path: &str| document["paths"][path]["post"].clone();
    let gather = post("/v1/rooms/{room}:gather");
    assert!(gather["requestBody"]["content"]["application/x-ndjson"].is_object());
    assert!(gather["responses"]["200"].is_object() && gather["responses"]["101"].is_object());
    let talk = post("/v1/rooms/{room}:talk");
    assert!(talk["requestBody"].is_null() && talk["responses"]["200"].is_null());
    assert!(talk["responses"]["101"].is_object());
    let write = post("/v1/files/{name}:write");
    assert!(write["requestBody"]["content"]["*/*"].is_object());
    assert!(write["responses"]["200"].is_object());
}

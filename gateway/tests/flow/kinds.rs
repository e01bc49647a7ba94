//! The ways in which one server stream can be read, and what each makes of a failure.

use std::pin::Pin;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use http::uri::PathAndQuery;
use prost::Message as _;
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{client_async, tungstenite::Message};
use tonic::{Code, Request, client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;

use crate::chat::{Note, PATIENCE, World};

pub(crate) type Codec = ProstCodec<Note, Note>;

/// How a server stream can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Array,
    Lines,
    Events,
    Socket,
    Grpc,
    Web,
    WebText,
}

pub(crate) const KINDS: [Kind; 7] = [
    Kind::Array,
    Kind::Lines,
    Kind::Events,
    Kind::Socket,
    Kind::Grpc,
    Kind::Web,
    Kind::WebText,
];

/// What comes, piece by piece.
pub(crate) type Pieces = Pin<Box<dyn Stream<Item = Bytes> + Send>>;

pub(crate) fn path(method: &str) -> PathAndQuery {
    let path = format!("/chat.v1.ChatService/{method}");
    path.parse().expect("a path")
}

pub(crate) async fn grpc(world: &World) -> Grpc<Channel> {
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
pub(crate) async fn listen(world: &World, kind: Kind, room: &str, count: i32) -> Pieces {
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
        Kind::WebText => web(
            "application/grpc-web-text",
            STANDARD.encode(framed(&asked)).into(),
        ),
        Kind::Socket => return listen_by_socket(world, room, count).await,
        Kind::Grpc => return listen_by_grpc(world, asked).await,
    };
    let response = request.send().await.expect("an answer");
    assert_eq!(response.status(), 200, "{kind:?}");
    let pieces = stream::unfold(response, async |mut response| {
        let piece = response.chunk().await.expect("a piece")?;
        Some((piece, response))
    });
    pieces.boxed()
}

async fn listen_by_socket(world: &World, room: &str, count: i32) -> Pieces {
    let address = world.address;
    let url = format!("ws://{address}/v1/rooms/{room}:listen?count={count}");
    let stream = TcpStream::connect(address).await.expect("a connection");
    let (socket, _) = client_async(url, stream).await.expect("a socket");
    let texts = socket.filter_map(async |frame| match frame.ok()? {
        Message::Text(text) => Some(Bytes::from(text)),
        Message::Close(Some(close)) => Some(format!("close {}", u16::from(close.code)).into()),
        _ => None,
    });
    texts.boxed()
}

async fn listen_by_grpc(world: &World, asked: Note) -> Pieces {
    let mut client = grpc(world).await;
    let call = client.server_streaming(Request::new(asked), path("Listen"), Codec::default());
    let notes = call.await.expect("a stream").into_inner();
    let pieces = notes.map(|note| match note {
        Ok(note) => note.encode_to_vec().into(),
        Err(status) => format!("status {}", status.code() as i32).into(),
    });
    pieces.boxed()
}

/// All that comes.
pub(crate) async fn gathered(pieces: Pieces) -> Vec<Bytes> {
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
pub(crate) fn outcome(kind: Kind, pieces: &[Bytes]) -> (usize, i32) {
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
    let mut bytes = Vec::new();
    for group in text.chunks(4) {
        STANDARD.decode_vec(group, &mut bytes).expect("base64");
    }
    bytes
}

//! Clients that abuse the protocol itself, over raw sockets: the gateway and a service go on answering others.

use std::{future::Future, time::Duration};

use kit::{Engine, Setup, World};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, tcp::OwnedWriteHalf},
    task::JoinSet,
    time::timeout,
};
use tonic::transport::Endpoint;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

/// HTTP/2 frame types (RFC 9113, section 6).
mod frame {
    pub(super) const HEADERS: u8 = 1;
    pub(super) const RST_STREAM: u8 = 3;
    pub(super) const SETTINGS: u8 = 4;
    pub(super) const PING: u8 = 6;
    pub(super) const CONTINUATION: u8 = 9;
    /// No more headers follow.
    pub(super) const END_HEADERS: u8 = 4;
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Frames of one flood.
const FLOOD_FRAMES: usize = 100_000;
/// Connections that a flood comes over.
const FLOODERS: usize = 10;
/// Connections that send half a request and wait.
const IDLERS: usize = 500;
/// Streams that are opened and left open.
const OPEN_STREAMS: usize = 10_000;
/// Longest wait for one answer to a probe: the attack and all processes share the machine.
const PROBE_PATIENCE: Duration = Duration::from_secs(5);
/// Least share of probes that are answered during an attack, in percent.
const ANSWERED_PERCENT: usize = 99;
/// Fewest probes that say something.
const MIN_PROBES: usize = 100;

/// One HTTP/2 frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a small payload");
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Header block of a call or request of `path` (HPACK, RFC 7541: indexed `:method POST` and `:scheme http`,
/// then literals without indexing).
fn headers(path: &str) -> Vec<u8> {
    let mut block = vec![0x83, 0x86];
    // `:path` and `:authority` by their index in the static table, the values as plain strings.
    for (name, value) in [(0x04, path), (0x01, "abuse")] {
        block.extend([name, u8::try_from(value.len()).expect("short")]);
        block.extend(value.bytes());
    }
    for (name, value) in [("content-type", "application/grpc"), ("te", "trailers")] {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).expect("short"));
            block.extend(text.bytes());
        }
    }
    block
}

/// A new HTTP/2 connection whose answers are read and thrown away.
async fn http2(address: &str) -> OwnedWriteHalf {
    let stream = TcpStream::connect(address).await.expect("it listens");
    let (mut reader, mut writer) = stream.into_split();
    tokio::spawn(async move { tokio::io::copy(&mut reader, &mut tokio::io::sink()).await });
    // A server that has enough may be gone at any time.
    let _ = writer.write_all(PREFACE).await;
    let _ = writer.write_all(&frame(frame::SETTINGS, 0, 0, &[])).await;
    writer
}

/// Sends `frames` in all over several connections, each anew whenever the server ends it.
///
/// `make` makes the next frames of a connection from their number on it.
async fn flood(address: &str, per_turn: usize, make: fn(u32) -> Vec<u8>) {
    let mut flooders = JoinSet::new();
    for _ in 0..FLOODERS {
        let address = address.to_owned();
        flooders.spawn(async move {
            let mut sent = 0;
            while sent < FLOOD_FRAMES / FLOODERS {
                let mut connection = http2(&address).await;
                for turn in 0.. {
                    let written = timeout(PROBE_PATIENCE, connection.write_all(&make(turn))).await;
                    sent += per_turn;
                    if !matches!(written, Ok(Ok(()))) || sent >= FLOOD_FRAMES / FLOODERS {
                        break;
                    }
                }
            }
        });
    }
    flooders.join_all().await;
}

/// Ids of streams that a client opens are odd.
fn stream_id(turn: u32) -> u32 {
    turn * 2 + 1
}

async fn rapid_resets(address: String) {
    flood(&address, 2, |turn| {
        let stream = stream_id(turn);
        let mut frames = frame(
            frame::HEADERS,
            frame::END_HEADERS,
            stream,
            &headers("/caravan.catalog.v1.CatalogService/ListProducts"),
        );
        // CANCEL
        frames.extend(frame(frame::RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        frames
    })
    .await;
}

async fn continuations_without_end(address: String) {
    flood(&address, 1, |turn| match turn {
        0 => frame(frame::HEADERS, 0, 1, &headers("/")),
        // A literal header with a name and a value of one letter.
        _ => frame(frame::CONTINUATION, 0, 1, &[0, 1, b'a', 1, b'b']),
    })
    .await;
}

async fn settings(address: String) {
    // SETTINGS_HEADER_TABLE_SIZE: each is to be acknowledged.
    flood(&address, 1, |_| {
        frame(frame::SETTINGS, 0, 0, &[0, 1, 0, 0, 16, 0])
    })
    .await;
}

async fn pings(address: String) {
    flood(&address, 1, |_| frame(frame::PING, 0, 0, &[7; 8])).await;
}

async fn open_streams(address: String) -> Vec<OwnedWriteHalf> {
    let mut connections = Vec::new();
    for _ in 0..FLOODERS {
        let mut connection = http2(&address).await;
        for turn in 0..u32::try_from(OPEN_STREAMS / FLOODERS).expect("few") {
            let path = "/caravan.catalog.v1.CatalogService/ListProducts";
            let open = frame(
                frame::HEADERS,
                frame::END_HEADERS,
                stream_id(turn),
                &headers(path),
            );
            if connection.write_all(&open).await.is_err() {
                break;
            }
        }
        connections.push(connection);
    }
    connections
}

/// Connections with half a request each.
async fn half_requests(address: String) -> Vec<TcpStream> {
    let mut connections = Vec::new();
    for number in 0..IDLERS {
        let mut connection = TcpStream::connect(&address).await.expect("it listens");
        let half: &[u8] = match number % 3 {
            0 => b"GET /v1/products HTTP/1.1\r\nHost: abuse\r\nX-Half",
            1 => &PREFACE[..10],
            _ => b"",
        };
        let _ = connection.write_all(half).await;
        connections.push(connection);
    }
    connections
}

/// A request that goes on byte by byte.
async fn one_byte_at_a_time(address: String) {
    let mut drips = JoinSet::new();
    for _ in 0..IDLERS / 10 {
        let mut connection = TcpStream::connect(&address).await.expect("it listens");
        drips.spawn(async move {
            let mut pace = tokio::time::interval(Duration::from_secs(1));
            for byte in b"POST /v1/" {
                pace.tick().await;
                if connection.write_all(&[*byte]).await.is_err() {
                    return;
                }
            }
        });
    }
    drips.join_all().await;
}

/// One request on a new connection: what a customer who comes now sees.
async fn is_answered(gateway: &str) -> bool {
    let look = async {
        let mut connection = TcpStream::connect(gateway).await.ok()?;
        let request = b"GET /v1/products HTTP/1.1\r\nhost: probe\r\nconnection: close\r\n\r\n";
        connection.write_all(request).await.ok()?;
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).await.ok()?;
        answer.starts_with(b"HTTP/1.1 200 OK").then_some(())
    };
    matches!(timeout(PROBE_PATIENCE, look).await, Ok(Some(())))
}

/// One health check on a new connection to a service.
async fn is_healthy(service: &str) -> bool {
    let look = async {
        let endpoint = Endpoint::from_shared(format!("http://{service}")).ok()?;
        let channel = endpoint.connect().await.ok()?;
        let request = HealthCheckRequest {
            service: String::new(),
        };
        HealthClient::new(channel).check(request).await.ok()
    };
    matches!(timeout(PROBE_PATIENCE, look).await, Ok(Some(_)))
}

/// Probes while `attack` runs, and then [`MIN_PROBES`] times while what it opened stays open.
async fn stays_up<P>(
    what: &str,
    attack: impl Future<Output: Send> + Send + 'static,
    probe: impl Fn() -> P,
) where
    P: Future<Output = bool>,
{
    let attacker = tokio::spawn(attack);
    let (mut asked, mut answered, mut left) = (0, 0, MIN_PROBES);
    while left > 0 {
        left -= usize::from(attacker.is_finished());
        asked += 1;
        answered += usize::from(probe().await);
    }
    drop(attacker.await.expect("the attacker came through"));
    assert!(
        answered * 100 >= asked * ANSWERED_PERCENT,
        "{what}: {answered} of {asked} probes were answered"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_and_idlers_take_nobody_else_along() {
    // All probes come from one address as fast as they can: it is not their rate that is looked at.
    let setup = Setup::on(Engine::Sqlite).variable("POLICIES", "off");
    let world = World::start_with(setup)
        .await
        .expect("SQLite is always there");
    let gateway = format!("127.0.0.1:{}", world.port_base());
    let service = world.process("catalog").grpc.expect("a gRPC address");
    let pids: Vec<_> = ["gateway", "catalog"]
        .map(|name| world.process(name).pid)
        .into();

    macro_rules! attacks {
        ($($attack:ident),* $(,)?) => { $(
            let what = stringify!($attack);
            stays_up(&format!("gateway, {what}"), $attack(gateway.clone()), || is_answered(&gateway)).await;
            stays_up(&format!("catalog, {what}"), $attack(service.clone()), || is_healthy(&service)).await;
        )* };
    }
    attacks!(
        half_requests,
        one_byte_at_a_time,
        rapid_resets,
        continuations_without_end,
        settings,
        pings,
        open_streams,
    );

    let after: Vec<_> = ["gateway", "catalog"]
        .map(|name| world.process(name).pid)
        .into();
    assert_eq!(after, pids, "a process ended");
    world.ready().await;
}

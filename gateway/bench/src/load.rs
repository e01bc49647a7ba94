//! The client of every proxy: HTTP/1.1 with keep-alive, one request at a time on each connection.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Longest wait for one answer; the stream of 100,000 messages included.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);
const READ_BYTES: usize = 256 * 1024;
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// What is asked of a proxy.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) name: &'static str,
    pub(crate) request: Bytes,
    /// Fewest bytes that a right answer has.
    pub(crate) least_bytes: usize,
}

/// How it went.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) elapsed: Duration,
    /// From a request to the end of its answer.
    pub(crate) times: Vec<Duration>,
    /// From a request to the first byte of its answer's body, of the slowest.
    pub(crate) first_byte: Duration,
}

impl Outcome {
    /// The time that `share` of all requests took at most.
    pub(crate) fn quantile(&mut self, share: f64) -> Duration {
        self.times.sort_unstable();
        let rank = (self.times.len() as f64 * share) as usize;
        let last = self.times.len().saturating_sub(1);
        self.times.get(rank.min(last)).copied().unwrap_or_default()
    }
}

/// Sends `requests` over `connections`, as fast as answers come.
pub(crate) async fn run(
    port: u16,
    ask: &Ask,
    connections: usize,
    requests: usize,
) -> anyhow::Result<Outcome> {
    let mut streams = Vec::new();
    for _ in 0..connections {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let start = Instant::now();
    let each = requests.div_ceil(connections);
    let clients = streams
        .into_iter()
        .map(|stream| tokio::spawn(client(stream, ask.clone(), each)));
    let clients: Vec<_> = clients.collect();
    let mut outcome = Outcome::default();
    for client in clients {
        let one = client.await??;
        outcome.times.extend(one.times);
        outcome.first_byte = outcome.first_byte.max(one.first_byte);
    }
    outcome.elapsed = start.elapsed();
    Ok(outcome)
}

async fn client(mut stream: TcpStream, ask: Ask, requests: usize) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut buffer = vec![0; READ_BYTES];
    for _ in 0..requests {
        let start = Instant::now();
        stream.write_all(&ask.request).await?;
        let answer = answer(&mut stream, &mut buffer, &ask, start);
        let first = tokio::time::timeout(ANSWER_TIMEOUT, answer).await;
        let first = first.context("no answer in time")??;
        outcome.first_byte = outcome.first_byte.max(first);
        outcome.times.push(start.elapsed());
    }
    Ok(outcome)
}

/// Reads one answer to its end; the time to the first byte of its body.
async fn answer(
    stream: &mut TcpStream,
    buffer: &mut [u8],
    ask: &Ask,
    start: Instant,
) -> anyhow::Result<Duration> {
    let mut held = 0;
    let head_bytes = loop {
        let read = stream.read(&mut buffer[held..]).await?;
        ensure!(read > 0, "{}: the proxy hung up", ask.name);
        held += read;
        if let Some(end) = buffer[..held]
            .windows(4)
            .position(|part| part == b"\r\n\r\n")
        {
            break end + 4;
        }
    };
    let head = std::str::from_utf8(&buffer[..head_bytes])?.to_ascii_lowercase();
    if !head.starts_with("http/1.1 200") {
        bail!("{}: {head}", ask.name);
    }
    let length = head
        .split("content-length: ")
        .nth(1)
        .and_then(|rest| rest.split("\r\n").next());
    let length: Option<usize> = length.map(str::parse).transpose()?;
    let mut body = held - head_bytes;
    let mut first = (body > 0).then(|| start.elapsed());
    let mut tail = [0; LAST_CHUNK.len()];
    keep_tail(&mut tail, &buffer[head_bytes..held]);
    while !length.map_or(tail == LAST_CHUNK, |length| body >= length) {
        let read = stream.read(buffer).await?;
        ensure!(read > 0, "{}: the proxy hung up", ask.name);
        first.get_or_insert_with(|| start.elapsed());
        keep_tail(&mut tail, &buffer[..read]);
        body += read;
    }
    ensure!(body >= ask.least_bytes, "{}: only {body} bytes", ask.name);
    Ok(first.unwrap_or_else(|| start.elapsed()))
}

fn keep_tail(tail: &mut [u8; LAST_CHUNK.len()], bytes: &[u8]) {
    for byte in &bytes[bytes.len().saturating_sub(LAST_CHUNK.len())..] {
        tail.rotate_left(1);
        tail[LAST_CHUNK.len() - 1] = *byte;
    }
}

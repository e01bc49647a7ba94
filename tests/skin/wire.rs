//! Requests sent byte by byte as a test wants them: HTTP/1.1 over a socket to the gateway, framed bytes to a gRPC port.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use kit::World;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, BufStream},
    net::TcpStream,
    time::timeout,
};
use tonic::{
    Code, Status,
    body::Body,
    transport::{Channel, Endpoint},
};
use tower::Service as _;

/// Longest wait for one answer: all processes share the machine.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Largest answer that is read.
const MAX_ANSWER_BYTES: usize = 16 << 20;

/// An answer over HTTP/1.1.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Status line and headers as they came.
    pub(crate) head: String,
    /// Empty where it goes on and on.
    pub(crate) body: Vec<u8>,
}

/// One connection to the gateway, made anew whenever the gateway ends it.
pub(crate) struct Wire {
    address: String,
    connection: Option<BufStream<TcpStream>>,
}

impl Wire {
    pub(crate) fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            connection: None,
        }
    }

    /// The gateway of a world.
    pub(crate) fn to_gateway(world: &World) -> Self {
        Self::new(&world.process("gateway").http.expect("it speaks HTTP"))
    }

    /// Sends a whole request and reads its answer; `None` where the connection ends without one.
    pub(crate) async fn send(&mut self, request: &[u8]) -> Option<Answer> {
        // A kept connection may have been ended since: then once more on a new one.
        for _ in 0..2 {
            let is_fresh = self.connection.is_none();
            let answer = timeout(ANSWER_WITHIN, self.exchange(request)).await;
            let answer = answer.unwrap_or_else(|_| panic!("no answer in {ANSWER_WITHIN:?}"));
            if answer.is_some() || is_fresh {
                return answer;
            }
        }
        None
    }

    async fn exchange(&mut self, request: &[u8]) -> Option<Answer> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => BufStream::new(TcpStream::connect(&self.address).await.ok()?),
        };
        // What is refused early is answered while it is still being sent.
        let sent = async {
            let _ = connection.write_all(request).await;
            let _ = connection.flush().await;
        };
        sent.await;
        let head = head(&mut connection).await?;
        let header = |name: &str| {
            head.lines().find_map(|line| {
                let (found, value) = line.split_once(':')?;
                found.eq_ignore_ascii_case(name).then(|| value.trim())
            })
        };
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let is_last = header("connection").is_some_and(|value| value.contains("close"));
        let is_head = request.starts_with(b"HEAD ");
        let length = header("content-length").and_then(|length| length.parse::<usize>().ok());
        let mut body = Vec::new();
        let is_whole = match length {
            _ if is_head || matches!(status, 204 | 304) => true,
            Some(length) if length <= MAX_ANSWER_BYTES => {
                body.resize(length, 0);
                connection.read_exact(&mut body).await.is_ok()
            }
            // A stream: its head has said what there is to know.
            _ => false,
        };
        if is_whole && !is_last {
            self.connection = Some(connection);
        }
        Some(Answer { status, head, body })
    }
}

/// Status line and headers.
async fn head(connection: &mut BufStream<TcpStream>) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(connection.read_u8().await.ok()?);
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

/// A connection to a service's gRPC port.
pub(crate) fn channel(world: &World, service: &str) -> Channel {
    let address = world.process(service).grpc.expect("it speaks gRPC");
    Endpoint::from_shared(format!("http://{address}"))
        .expect("a URL")
        .connect_lazy()
}

/// Sends these bytes as the body of a call and answers its status. Of a stream only whether it is let in: it goes on.
///
/// # Panics
/// Where there is no answer at all.
pub(crate) async fn call(
    channel: &Channel,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
    streams: bool,
) -> Status {
    let mut request = http::Request::post(path)
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = Body::new(Full::new(Bytes::from(body)));
    let request = request.body(body).expect("headers of a test are sound");
    let mut channel = channel.clone();
    let outcome = async {
        std::future::poll_fn(|context| channel.poll_ready(context)).await?;
        let answer = channel.call(request).await?;
        if let Some(status) = Status::from_header_map(answer.headers()) {
            return Ok(status);
        }
        if streams {
            return Ok(Status::new(Code::Ok, ""));
        }
        let body = answer.into_body().collect().await;
        let Ok(body) = body else {
            return Ok(Status::unknown("the answer broke off"));
        };
        let status = body.trailers().and_then(Status::from_header_map);
        Ok(status.unwrap_or_else(|| Status::unknown("no status")))
    };
    let outcome: Result<Status, tonic::transport::Error> = timeout(ANSWER_WITHIN, outcome)
        .await
        .unwrap_or_else(|_| panic!("{path}: no answer in {ANSWER_WITHIN:?}"));
    outcome.unwrap_or_else(|error| panic!("{path}: no answer: {error:?}"))
}

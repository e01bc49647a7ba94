//! One HTTP/2 connection, made when it is needed.

use std::{error::Error, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{net::TcpStream, sync::Mutex, time::timeout};

use crate::status::Status;

/// Longest time to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Pings also while nothing is under way, so that a partition is noticed before a call hangs on it.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// Longest wait for a ping's answer.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of one answer that may wait here for a slow client.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
/// Bytes of all answers of a connection that may wait here.
const CONNECTION_WINDOW_BYTES: u32 = 8 * 1024 * 1024;
/// Connections that one call tries: the one at hand may have been closed a moment ago.
const MAX_TRIES: usize = 3;
const DEFAULT_PORT: u16 = 80;

type Sender = SendRequest<Full<Bytes>>;

#[derive(Debug, Default)]
pub(super) struct Connection {
    current: ArcSwapOption<Sender>,
    /// Held while connecting, so that many calls make one connection.
    connecting: Mutex<()>,
}

impl Connection {
    pub(super) async fn send(
        &self,
        name: &str,
        uri: &Uri,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Status> {
        for _ in 0..MAX_TRIES {
            let sender = self.sender(name, uri).await?;
            match Sender::clone(&sender).try_send_request(request).await {
                Ok(response) => return Ok(response),
                Err(mut error) => match error.take_message() {
                    // It never left: a fresh connection may take it.
                    Some(unsent) => {
                        request = unsent;
                        self.forget(&sender);
                    }
                    None => {
                        let cause = error.into_error();
                        tracing::warn!(upstream = name, error = &cause as &dyn Error, "call broke");
                        return Err(Status::unavailable());
                    }
                },
            }
        }
        Err(Status::unavailable())
    }

    async fn sender(&self, name: &str, uri: &Uri) -> Result<Arc<Sender>, Status> {
        if let Some(sender) = self.alive() {
            return Ok(sender);
        }
        let _connecting = self.connecting.lock().await;
        if let Some(sender) = self.alive() {
            return Ok(sender);
        }
        let sender = Arc::new(connect(uri).await.map_err(|error| {
            tracing::warn!(upstream = name, error = &*error, "cannot connect");
            Status::unavailable()
        })?);
        self.current.store(Some(sender.clone()));
        Ok(sender)
    }

    fn alive(&self) -> Option<Arc<Sender>> {
        let sender = self.current.load_full()?;
        (!sender.is_closed()).then_some(sender)
    }

    fn forget(&self, sender: &Arc<Sender>) {
        let current = self.current.load();
        if current
            .as_ref()
            .is_some_and(|found| Arc::ptr_eq(found, sender))
        {
            self.current.compare_and_swap(&*current, None);
        }
    }
}

async fn connect(uri: &Uri) -> Result<Sender, Box<dyn Error + Send + Sync>> {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let port = uri.port_u16().unwrap_or(DEFAULT_PORT);
    let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect((host, port))).await??;
    stream.set_nodelay(true)?;
    let handshake = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .handshake(TokioIo::new(stream));
    let (sender, connection) = timeout(CONNECT_TIMEOUT, handshake).await??;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = &error as &dyn Error, "upstream connection ended");
        }
    });
    Ok(sender)
}

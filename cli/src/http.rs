//! Plain HTTP/1.1 to the mesh's own loopback addresses: no TLS, no pool, no redirects.
//!
//! A full client would cost more memory than the rest of the command.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// Largest body that is read.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: StatusCode,
    /// The body, at most 1 MiB.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Errors
    /// Where the body is no JSON.
    pub fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("answer {} is no JSON", self.status))
    }

    /// What a problem+json answer says, else the status alone.
    #[must_use]
    pub fn problem(&self) -> String {
        let text = self.json().ok().and_then(|body| {
            let text = body.get("detail").or_else(|| body.get("title"))?;
            text.as_str().map(str::to_owned)
        });
        text.map_or_else(
            || self.status.to_string(),
            |text| format!("{}: {text}", self.status.as_u16()),
        )
    }
}

/// What to send.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    method: Method,
    path: &'a str,
    token: Option<&'a str>,
    body: Option<&'a Value>,
}

impl<'a> Call<'a> {
    /// A GET of `path` (with its query).
    #[must_use]
    pub fn get(path: &'a str) -> Self {
        Self {
            method: Method::GET,
            path,
            token: None,
            body: None,
        }
    }

    /// `method` with a JSON body.
    #[must_use]
    pub fn send(method: Method, path: &'a str, body: &'a Value) -> Self {
        Self {
            method,
            path,
            token: None,
            body: Some(body),
        }
    }

    /// Signs the call with an access token.
    #[must_use]
    pub fn token(self, token: &'a str) -> Self {
        Self {
            token: Some(token),
            ..self
        }
    }

    /// Sends the call to `address` and reads the whole answer.
    ///
    /// # Errors
    /// No connection, a broken answer, or no whole answer within `timeout`.
    pub async fn to(&self, address: SocketAddr, timeout: Duration) -> anyhow::Result<Answer> {
        tokio::time::timeout(timeout, self.exchange(address))
            .await
            .with_context(|| format!("{address} did not answer within {timeout:?}"))?
    }

    async fn exchange(&self, address: SocketAddr) -> anyhow::Result<Answer> {
        let mut request = Request::builder()
            .method(&self.method)
            .uri(self.path)
            .header(header::HOST, address.to_string());
        if let Some(token) = self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if self.body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = self.body.map(Value::to_string).unwrap_or_default();
        let request = request.body(Full::new(Bytes::from(body)))?;

        let stream = TcpStream::connect(address)
            .await
            .with_context(|| format!("cannot connect to {address}"))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let answer = async {
            let answer = sender.send_request(request).await?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES)
                .collect()
                .await
                .map_err(anyhow::Error::from_boxed)?;
            anyhow::Ok(Answer {
                status,
                body: body.to_bytes(),
            })
        };
        // The connection only moves while it is polled; the answer comes first or not at all.
        tokio::pin!(answer);
        tokio::select! {
            answer = &mut answer => answer,
            ended = connection => { ended?; answer.await }
        }
    }
}

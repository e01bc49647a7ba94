//! A REST client as a customer's program would have it: it knows paths, tokens and JSON, and no Rust type of the mesh.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, header::HeaderMap};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Longest time for one answer; above every `Prefer: wait` that tests use.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// Speaks to one base URL, with or without a token.
#[derive(Clone, Debug)]
pub struct Rest {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

/// An answer with its body read.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status code.
    pub status: u16,
    /// Headers of the answer.
    pub headers: HeaderMap,
    /// The body as it came.
    pub text: String,
}

impl Rest {
    /// A client without a token.
    pub fn new(base: impl Into<String>) -> Self {
        let http = reqwest::Client::builder()
            .timeout(ANSWER_WITHIN)
            .build()
            .expect("a client with default settings");
        Self {
            http,
            base: base.into(),
            token: None,
        }
    }

    /// The same client with this access token.
    pub fn with_token(&self, token: impl Into<String>) -> Self {
        Self {
            token: Some(token.into()),
            ..self.clone()
        }
    }

    /// The access token, where the client has one.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// A request to fill further and to [`send`].
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        send(self.request(Method::GET, path)).await
    }

    /// POST of a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        send(self.request(Method::POST, path).json(body)).await
    }

    /// PUT of a JSON body.
    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        send(self.request(Method::PUT, path).json(body)).await
    }
}

/// Sends a request and reads the whole answer.
///
/// # Panics
/// Where there is no answer.
pub async fn send(request: RequestBuilder) -> Answer {
    try_send(request)
        .await
        .unwrap_or_else(|error| panic!("no answer: {error:?}"))
}

/// As [`send`], where no answer is one of the things that may happen.
///
/// # Errors
/// The connection could not be made or broke.
pub async fn try_send(request: RequestBuilder) -> reqwest::Result<Answer> {
    let response = request.send().await?;
    Ok(Answer {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        text: response.text().await?,
    })
}

impl Answer {
    /// This answer, once its status is as expected.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// A header's value, empty where it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        self.read()
    }

    /// The body as a type.
    #[track_caller]
    pub fn read<T: DeserializeOwned>(&self) -> T {
        serde_json::from_str(&self.text)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.text))
    }

    /// The body of an error (RFC 9457), once it is one: problem+json whose `status` is the answer's.
    #[track_caller]
    pub fn problem(&self) -> Value {
        assert!(self.status >= 400, "{} {}", self.status, self.text);
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{} {}",
            self.status,
            self.text
        );
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{problem}");
        assert!(
            problem["title"]
                .as_str()
                .is_some_and(|title| !title.is_empty()),
            "{problem}"
        );
        problem
    }
}

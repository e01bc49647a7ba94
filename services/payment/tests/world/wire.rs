//! The wire between the service and its provider. It loses what a test wants to be lost.

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use reqwest::Url;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

const MAX_BODY_BYTES: usize = 64 * 1024;

/// What happens to requests and answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// All goes through.
    Whole,
    /// Nothing reaches the provider.
    Cut,
    /// The provider does what it is asked to, but its answers get lost.
    AnswersLost,
    /// The provider does what it is asked to; its answers wait for another mode.
    AnswersLate,
    /// The provider says that it is in trouble, and does nothing.
    Trouble,
}

/// A running wire. Ends with the value.
pub(crate) struct Wire {
    url: String,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    provider: Url,
    http: reqwest::Client,
    mode: watch::Sender<Mode>,
    /// Requests that the provider has answered.
    answered: watch::Sender<usize>,
}

impl Wire {
    pub(crate) async fn start(provider: &Url) -> Self {
        let shared = Arc::new(Shared {
            provider: provider.clone(),
            http: reqwest::Client::new(),
            mode: watch::Sender::new(Mode::Whole),
            answered: watch::Sender::new(0),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let router = Router::new()
            .fallback(carry)
            .with_state(Arc::clone(&shared));
        let server =
            tokio::spawn(async move { axum::serve(listener, router).await.expect("serves") });
        Self {
            url,
            shared,
            server,
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.shared.mode.send_replace(mode);
    }

    /// Waits until the provider has answered this many requests since the start.
    pub(crate) async fn answered(&self, requests: usize) {
        let mut answered = self.shared.answered.subscribe();
        let reached = answered.wait_for(|answered| *answered >= requests);
        let reached = tokio::time::timeout(alone::wait::PATIENCE, reached).await;
        reached
            .expect("the provider is asked")
            .expect("the wire stands");
    }

    /// Requests that the provider has answered.
    pub(crate) fn requests(&self) -> usize {
        *self.shared.answered.borrow()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn carry(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let mode = *shared.mode.borrow();
    match mode {
        Mode::Cut => return lost(),
        Mode::Trouble => {
            let body = r#"{"error":{"type":"api_error","message":"Something went wrong."}}"#;
            return (StatusCode::INTERNAL_SERVER_ERROR, body).into_response();
        }
        Mode::Whole | Mode::AnswersLost | Mode::AnswersLate => {}
    }
    let (status, body) = forward(&shared, request).await;
    shared.answered.send_modify(|answered| *answered += 1);
    if mode == Mode::AnswersLost {
        return lost();
    }
    let mut late = shared.mode.subscribe();
    late.wait_for(|mode| *mode != Mode::AnswersLate)
        .await
        .expect("the wire stands");
    (status, body).into_response()
}

async fn forward(shared: &Shared, request: Request) -> (StatusCode, Bytes) {
    let path = request.uri().path_and_query().expect("a path").as_str();
    let url = shared.provider.join(path).expect("a URL");
    let mut onward = shared.http.request(request.method().clone(), url);
    for name in ["authorization", "content-type", "idempotency-key"] {
        if let Some(value) = request.headers().get(name) {
            onward = onward.header(name, value);
        }
    }
    let body = axum::body::to_bytes(request.into_body(), MAX_BODY_BYTES)
        .await
        .expect("small");
    let answer = onward.body(body).send().await.expect("the provider runs");
    (
        answer.status(),
        answer.bytes().await.expect("a whole answer"),
    )
}

/// Breaks off: the head of an answer, and then nothing.
fn lost() -> Response {
    let broken = futures::stream::once(async { Err::<Bytes, _>(std::io::Error::other("lost")) });
    Body::from_stream(broken).into_response()
}

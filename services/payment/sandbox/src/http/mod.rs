//! The addresses and how they answer.

mod ledger;
mod payment_intents;
mod refunds;

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Request, State as Shared},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header::CONTENT_TYPE},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use secrecy::SecretString;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    auth,
    error::ApiError,
    idempotency::{Key, Running},
    ledger::{Command, Ledger, Page},
    params::Params,
};

const MAX_BODY_BYTES: usize = 64 * 1024;
const DEFAULT_PAGE_OBJECTS: i64 = 10;
const MAX_PAGE_OBJECTS: i64 = 100;

/// What every handler shares.
pub(crate) struct State {
    pub(crate) key: SecretString,
    pub(crate) ledger: Ledger,
    pub(crate) running: Running,
    pub(crate) drain: CancellationToken,
}

pub(crate) fn router(state: Arc<State>) -> Router {
    Router::new()
        .route(
            "/v1/payment_intents",
            post(payment_intents::create).get(payment_intents::list),
        )
        .route("/v1/payment_intents/{id}", get(payment_intents::get))
        .route(
            "/v1/payment_intents/{id}/capture",
            post(payment_intents::capture),
        )
        .route(
            "/v1/payment_intents/{id}/cancel",
            post(payment_intents::cancel),
        )
        .route("/v1/refunds", post(refunds::create).get(refunds::list))
        // Of the routes above only: the ledger and readiness are open.
        .route_layer(middleware::from_fn_with_state(
            Arc::clone(&state),
            auth::require_key,
        ))
        .route("/ledger", get(ledger::list))
        .route("/readyz", get(readyz))
        .fallback(unknown)
        .method_not_allowed_fallback(unknown)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn(name_and_log))
        .with_state(state)
}

impl State {
    /// Runs a change under the request's Idempotency-Key, where it has one.
    pub(crate) async fn change(
        &self,
        key: Option<Key>,
        command: Command,
    ) -> Result<Response, ApiError> {
        let _running = key
            .as_ref()
            .map(|key| self.running.enter(key))
            .transpose()?;
        let answer = self.ledger.run(key, command).await?;
        let status =
            StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let json = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        let mut response = (status, json, answer.body).into_response();
        if answer.replayed {
            response
                .headers_mut()
                .insert("idempotent-replayed", HeaderValue::from_static("true"));
        }
        Ok(response)
    }
}

impl From<sea_orm::DbErr> for ApiError {
    fn from(error: sea_orm::DbErr) -> Self {
        tracing::error!(%error, "the ledger cannot be read");
        Self::fault()
    }
}

/// `limit` and `starting_after` of a list.
fn page(params: &mut Params) -> Result<Page, ApiError> {
    let limit = params.integer("limit")?.unwrap_or(DEFAULT_PAGE_OBJECTS);
    if !(1..=MAX_PAGE_OBJECTS).contains(&limit) {
        let message = format!("limit must be 1 to {MAX_PAGE_OBJECTS}.");
        return Err(ApiError::invalid(message)
            .code("parameter_invalid_integer")
            .param("limit"));
    }
    Ok(Page {
        limit: limit.unsigned_abs(),
        starting_after: params.text("starting_after"),
    })
}

async fn readyz(Shared(state): Shared<Arc<State>>) -> Response {
    let ready = !state.drain.is_cancelled() && state.ledger.ping().await.is_ok();
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(json!({ "ready": ready }))).into_response()
}

async fn unknown(request: Request) -> ApiError {
    ApiError::unknown_url(request.method().as_str(), request.uri().path())
}

/// Gives each answer a `Request-Id`, as Stripe does, and writes a line about it.
async fn name_and_log(request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let request_id = format!("req_{}", Uuid::now_v7().simple());
    let mut response = next.run(request).await;
    tracing::debug!(request_id, %method, path, status = response.status().as_u16(), "answered");
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert("request-id", value);
    }
    response
}

/// The Idempotency-Key of a request, bound to what it asks.
fn key(headers: &HeaderMap, uri: &Uri, params: &Params) -> Result<Option<Key>, ApiError> {
    Key::of(headers, uri.path(), &params.canonical())
}

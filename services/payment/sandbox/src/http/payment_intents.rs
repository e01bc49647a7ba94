//! `/v1/payment_intents`

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State as Shared},
    http::{HeaderMap, Uri},
    response::Response,
};
use serde_json::Value;

use super::{State, key, page};
use crate::{
    error::ApiError,
    ledger::{Command, NewIntent},
    params::Params,
};

const CAPTURE_METHODS: [&str; 3] = ["automatic", "automatic_async", "manual"];
const CANCELLATION_REASONS: [&str; 4] = [
    "duplicate",
    "fraudulent",
    "requested_by_customer",
    "abandoned",
];

pub(super) async fn create(
    Shared(state): Shared<Arc<State>>,
    uri: Uri,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, ApiError> {
    let key = key(&headers, &uri, &params)?;
    state
        .change(key, Command::Create(NewIntent::parse(params)?))
        .await
}

pub(super) async fn capture(
    Shared(state): Shared<Arc<State>>,
    Path(intent): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Response, ApiError> {
    let key = key(&headers, &uri, &params)?;
    let amount_minor = params.amount("amount_to_capture")?;
    params.ignore(&["expand"]);
    params.finish()?;
    state
        .change(
            key,
            Command::Capture {
                intent,
                amount_minor,
            },
        )
        .await
}

pub(super) async fn cancel(
    Shared(state): Shared<Arc<State>>,
    Path(intent): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Response, ApiError> {
    let key = key(&headers, &uri, &params)?;
    let reason = params.text("cancellation_reason");
    if reason
        .as_deref()
        .is_some_and(|reason| !CANCELLATION_REASONS.contains(&reason))
    {
        return Err(one_of("cancellation_reason", &CANCELLATION_REASONS));
    }
    params.ignore(&["expand"]);
    params.finish()?;
    state.change(key, Command::Cancel { intent, reason }).await
}

pub(super) async fn get(
    Shared(state): Shared<Arc<State>>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let found = state.ledger.intent(&id).await?;
    found
        .map(Json)
        .ok_or_else(|| ApiError::no_such("payment_intent", &id, "intent"))
}

pub(super) async fn list(
    Shared(state): Shared<Arc<State>>,
    mut params: Params,
) -> Result<Json<Value>, ApiError> {
    let page = page(&mut params)?;
    params.ignore(&["expand"]);
    params.finish()?;
    let after = page.starting_after.clone().unwrap_or_default();
    let found = state.ledger.intents(page).await?;
    found
        .map(Json)
        .ok_or_else(|| ApiError::no_such("payment_intent", &after, "starting_after"))
}

impl NewIntent {
    fn parse(mut params: Params) -> Result<Self, ApiError> {
        let amount_minor = params
            .amount("amount")?
            .ok_or_else(|| ApiError::missing("amount"))?;
        let currency = params.required("currency")?.to_ascii_lowercase();
        if currency.len() != 3 || !currency.bytes().all(|byte| byte.is_ascii_lowercase()) {
            return Err(
                ApiError::invalid(format!("Invalid currency: {currency}.")).param("currency")
            );
        }
        let capture_method = params
            .text("capture_method")
            .unwrap_or_else(|| "automatic_async".into());
        if !CAPTURE_METHODS.contains(&capture_method.as_str()) {
            return Err(one_of("capture_method", &CAPTURE_METHODS));
        }
        let new = Self {
            amount_minor,
            currency,
            capture_method,
            payment_method: params.text("payment_method"),
            confirm: params.flag("confirm")?,
            description: params.text("description"),
            metadata: params.map("metadata")?,
        };
        params.ignore(&[
            "payment_method_types",
            "automatic_payment_methods",
            "error_on_requires_action",
            "off_session",
            "statement_descriptor_suffix",
            "expand",
        ]);
        params.finish()?;
        Ok(new)
    }
}

fn one_of(param: &str, known: &[&str]) -> ApiError {
    ApiError::invalid(format!(
        "Invalid {param}: must be one of {}.",
        known.join(", ")
    ))
    .param(param)
}

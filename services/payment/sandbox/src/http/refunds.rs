//! `/v1/refunds`

use std::sync::Arc;

use axum::{
    Json,
    extract::State as Shared,
    http::{HeaderMap, Uri},
    response::Response,
};
use serde_json::Value;

use super::{State, key, page};
use crate::{error::ApiError, ledger::Command, params::Params};

pub(super) async fn create(
    Shared(state): Shared<Arc<State>>,
    uri: Uri,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Response, ApiError> {
    let key = key(&headers, &uri, &params)?;
    let command = Command::Refund {
        intent: params.required("payment_intent")?,
        amount_minor: params.amount("amount")?,
        reason: params.text("reason"),
        metadata: params.map("metadata")?,
    };
    params.ignore(&["expand"]);
    params.finish()?;
    state.change(key, command).await
}

pub(super) async fn list(
    Shared(state): Shared<Arc<State>>,
    mut params: Params,
) -> Result<Json<Value>, ApiError> {
    let page = page(&mut params)?;
    let intent = params.text("payment_intent");
    params.ignore(&["expand"]);
    params.finish()?;
    let after = page.starting_after.clone().unwrap_or_default();
    let found = state.ledger.refunds(page, intent).await?;
    found
        .map(Json)
        .ok_or_else(|| ApiError::no_such("refund", &after, "starting_after"))
}

//! Who may call: holders of the secret key, as bearer token or as user name of basic authentication.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::header::AUTHORIZATION,
    middleware::Next,
    response::Response,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use secrecy::ExposeSecret;

use crate::{error::ApiError, http};

pub(crate) async fn require_key(
    State(state): State<Arc<http::State>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let header = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .ok_or_else(|| ApiError::unauthorized("You did not provide an API key."))?;
    let key = state.key.expose_secret();
    let known = match header.split_once(' ') {
        Some(("Bearer", token)) => token.trim() == key,
        // Compared in its encoded form: the password is empty, so there is one spelling.
        Some(("Basic", token)) => token.trim() == BASE64_STANDARD.encode(format!("{key}:")),
        _ => false,
    };
    if !known {
        return Err(ApiError::unauthorized("Invalid API Key provided."));
    }
    Ok(next.run(request).await)
}

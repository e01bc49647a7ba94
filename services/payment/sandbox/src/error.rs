//! Stripe's error object, and the HTTP status of each kind.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};

/// A refusal in Stripe's shape: `{"error": {"type", "code", "decline_code", "message", "param", "payment_intent"}}`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    kind: &'static str,
    code: Option<&'static str>,
    decline_code: Option<&'static str>,
    message: String,
    param: Option<String>,
    payment_intent: Option<Box<Value>>,
}

impl ApiError {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            kind,
            code: None,
            decline_code: None,
            message: message.into(),
            param: None,
            payment_intent: None,
        }
    }

    /// 400: the request makes no sense.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", message)
    }

    /// 400: a parameter is absent.
    pub(crate) fn missing(param: &str) -> Self {
        Self::invalid(format!("Missing required param: {param}."))
            .code("parameter_missing")
            .param(param)
    }

    /// 404: `what` with this id does not exist. `param` names where the id stood.
    pub(crate) fn no_such(what: &str, id: &str, param: &str) -> Self {
        let message = format!("No such {what}: '{id}'");
        Self::new(StatusCode::NOT_FOUND, "invalid_request_error", message)
            .code("resource_missing")
            .param(param)
    }

    /// 404: no such address.
    pub(crate) fn unknown_url(method: &str, path: &str) -> Self {
        let message = format!("Unrecognized request URL ({method}: {path}).");
        Self::new(StatusCode::NOT_FOUND, "invalid_request_error", message)
    }

    /// 401: no key or a wrong one.
    pub(crate) fn unauthorized(message: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_request_error", message)
    }

    /// 402: the card was refused.
    pub(crate) fn card(
        code: &'static str,
        decline_code: Option<&'static str>,
        message: &str,
    ) -> Self {
        let mut error = Self::new(StatusCode::PAYMENT_REQUIRED, "card_error", message).code(code);
        error.decline_code = decline_code;
        error
    }

    /// 400: the key was used with other parameters.
    pub(crate) fn other_parameters() -> Self {
        let message = "Keys for idempotent requests can only be used with the same parameters they were first used with.";
        Self::new(StatusCode::BAD_REQUEST, "idempotency_error", message)
    }

    /// 409: a request with the same key is under way.
    pub(crate) fn in_progress() -> Self {
        let message = "There is currently another in-progress request using this Idempotency Key.";
        Self::new(StatusCode::CONFLICT, "idempotency_error", message).code("idempotency_key_in_use")
    }

    /// 429: the queue is full.
    pub(crate) fn overloaded() -> Self {
        let message = "Too many requests; please retry later.";
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "invalid_request_error",
            message,
        )
        .code("rate_limit")
    }

    /// 500: the ledger failed; the cause stands in the log.
    pub(crate) fn fault() -> Self {
        let message = "An unknown error occurred.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "api_error", message)
    }

    pub(crate) fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    pub(crate) fn param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    pub(crate) fn payment_intent(mut self, intent: Value) -> Self {
        self.payment_intent = Some(Box::new(intent));
        self
    }

    pub(crate) fn body(&self) -> Value {
        let mut error = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            value.and_then(|value| error.insert(name.into(), value));
        };
        put("type", Some(self.kind.into()));
        put("code", self.code.map(Into::into));
        put("decline_code", self.decline_code.map(Into::into));
        put("message", Some(self.message.as_str().into()));
        put("param", self.param.as_deref().map(Into::into));
        put("payment_intent", self.payment_intent.as_deref().cloned());
        json!({ "error": error })
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status, Json(self.body())).into_response()
    }
}

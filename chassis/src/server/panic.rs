//! Turns a panic of a handler into INTERNAL. The panic hook has logged it under the call's ids.

use std::panic::AssertUnwindSafe;

use axum::{extract::Request, middleware::Next, response::Response};
use futures::FutureExt as _;
use tonic::Code;

use super::answer;
use crate::status::{self, FAULT_TEXT};

/// The layer. What the handler held is dropped by the unwinding; nothing of it is used afterwards.
pub(super) async fn layer(request: Request, next: Next) -> Response {
    AssertUnwindSafe(next.run(request))
        .catch_unwind()
        .await
        .unwrap_or_else(|_| answer(&status::with_reason(Code::Internal, "INTERNAL", FAULT_TEXT)))
}

//! The one place that makes a [`Status`] of a failure.

use std::{collections::HashMap, sync::OnceLock};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::error::{Classify, is_fault};

/// What a caller reads about a fault; the cause stands in the log under the same request id.
pub(crate) const FAULT_TEXT: &str =
    "Something went wrong on our side. The request id helps us to find it.";

static DOMAIN: OnceLock<String> = OnceLock::new();

/// Says once which service this process is; it becomes the domain of every error, `<service>.caravan`.
pub(crate) fn set_domain(service: &str) {
    // A second service in one process (tests) keeps the first name.
    let _ = DOMAIN.set(format!("{service}.caravan"));
}

/// The logical name of this process's service; empty before [`set_domain`].
pub(crate) fn service() -> &'static str {
    DOMAIN
        .get()
        .and_then(|domain| domain.strip_suffix(".caravan"))
        .unwrap_or_default()
}

/// The domain of every error of this process.
pub(crate) fn domain() -> &'static str {
    DOMAIN.get().map_or("caravan", String::as_str)
}

/// Turns a failure into the answer of an rpc and logs what is ours to repair.
pub fn from_error<E: Classify>(error: &E) -> Status {
    let (code, reason) = (error.code(), error.reason());
    if is_fault(code) {
        tracing::error!(
            reason,
            error = error as &dyn std::error::Error,
            "request failed"
        );
        return with_reason(code, reason, FAULT_TEXT);
    }
    if code == Code::Unavailable {
        tracing::warn!(
            reason,
            error = error as &dyn std::error::Error,
            "request could not be served now"
        );
    }
    let mut details = ErrorDetails::with_error_info(reason, domain(), HashMap::new());
    for violation in error.violations() {
        details.add_bad_request_violation(violation.field, violation.description);
    }
    if let Some(wait) = error.retry_after() {
        details.set_retry_info(Some(wait));
    }
    Status::with_error_details(code, error.message(), details)
}

/// A status that says no more than its code, reason and text.
pub fn with_reason(code: Code, reason: &str, text: &str) -> Status {
    Status::with_error_details(
        code,
        text,
        ErrorDetails::with_error_info(reason, domain(), HashMap::new()),
    )
}

/// The `google.rpc.ErrorInfo` reason of an answer; empty where it has none.
pub fn reason(status: &Status) -> String {
    status
        .get_details_error_info()
        .map(|info| info.reason)
        .unwrap_or_default()
}

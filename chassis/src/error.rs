//! One classification for every failure: its gRPC code, a reason for programs and a text for people.

use std::time::Duration;

pub use tonic::Code;

/// A field of a request that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The field as JSON names it, e.g. `lines[0].quantity`.
    pub field: String,
    /// What is wrong with it, for people.
    pub description: String,
}

impl Violation {
    /// A violation of one field.
    pub fn new(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            description: description.into(),
        }
    }
}

/// How a failure is answered and what is done about it.
///
/// The same code decides about an rpc's status, and about an event: what may pass comes again later
/// ([`is_transient`]), the rest becomes a dead letter.
pub trait Classify: std::error::Error + Send + Sync + 'static {
    /// The one code of this failure.
    fn code(&self) -> Code;

    /// For programs: `SCREAMING_SNAKE_CASE`, stable.
    fn reason(&self) -> &'static str;

    /// The public text. Not asked for faults ([`is_fault`]), which are answered with a fixed text.
    fn message(&self) -> String {
        self.to_string()
    }

    /// When the same call may succeed, where that is known (`google.rpc.RetryInfo`; through REST `Retry-After`).
    fn retry_after(&self) -> Option<Duration> {
        None
    }

    /// The fields at fault, where a request is.
    fn violations(&self) -> Vec<Violation> {
        Vec::new()
    }
}

/// A code as the gRPC specification writes it.
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// Whether the same call may succeed later without a change.
pub fn is_transient(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable | Code::Aborted | Code::DeadlineExceeded | Code::ResourceExhausted
    )
}

/// Whether it is ours to repair: logged with its cause, answered with a fixed text.
pub fn is_fault(code: Code) -> bool {
    matches!(code, Code::Internal | Code::Unknown | Code::DataLoss)
}

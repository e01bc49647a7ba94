//! What an answer of a participant means.

use super::transition::Operation;

/// Reason of a participant that has seen a newer epoch of the saga.
const EPOCH_STALE: &str = "SAGA_EPOCH_STALE";

/// The classes of gRPC statuses that a saga tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The participant said no.
    Refused,
    /// It may pass; whether the call was carried out is unknown.
    Transient,
    /// Neither a retry nor a compensation helps: somebody has to repair something.
    Stop,
}

/// The class of a gRPC status by its name.
pub fn classify(code: &str) -> Class {
    match code {
        "INVALID_ARGUMENT"
        | "NOT_FOUND"
        | "FAILED_PRECONDITION"
        | "PERMISSION_DENIED"
        | "OUT_OF_RANGE"
        | "ALREADY_EXISTS" => Class::Refused,
        "UNAUTHENTICATED" | "UNIMPLEMENTED" => Class::Stop,
        _ => Class::Transient,
    }
}

/// How a participant answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The gRPC status, e.g. `UNAVAILABLE`.
    pub code: String,
    /// `google.rpc.ErrorInfo.reason`
    pub reason: String,
    /// The status's text.
    pub message: String,
    /// Its class; mostly by its code.
    pub class: Class,
}

impl Refusal {
    /// A refusal whose class follows from its code.
    pub fn new(
        code: impl Into<String>,
        reason: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        let (code, reason) = (code.into(), reason.into());
        // The chassis' barrier found a newer orchestrator: whatever this one concludes would be wrong.
        let class = if reason == EPOCH_STALE {
            Class::Stop
        } else {
            classify(&code)
        };
        Self {
            code,
            reason,
            message: message.into(),
            class,
        }
    }
}

/// A call that ended, and what came back.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The step.
    pub step: usize,
    /// Which of its items, where it has some.
    pub item: Option<u32>,
    /// Doing or undoing.
    pub operation: Operation,
    /// The attempt.
    pub attempt: u32,
    /// The encoded reply.
    pub result: Result<prost::bytes::Bytes, Refusal>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_class() {
        for code in [
            "INVALID_ARGUMENT",
            "NOT_FOUND",
            "FAILED_PRECONDITION",
            "PERMISSION_DENIED",
            "OUT_OF_RANGE",
            "ALREADY_EXISTS",
        ] {
            assert_eq!(classify(code), Class::Refused, "{code}");
        }
        for code in [
            "UNAVAILABLE",
            "DEADLINE_EXCEEDED",
            "RESOURCE_EXHAUSTED",
            "ABORTED",
            "UNKNOWN",
            "INTERNAL",
            "CANCELLED",
        ] {
            assert_eq!(classify(code), Class::Transient, "{code}");
        }
        for code in ["UNAUTHENTICATED", "UNIMPLEMENTED"] {
            assert_eq!(classify(code), Class::Stop, "{code}");
        }
    }
}

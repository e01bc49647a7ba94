//! How a session ends, as the client hears it.

use bytes::Bytes;
use chassis::error::code_name;
use tokio_tungstenite::tungstenite::{
    Error,
    error::{CapacityError, ProtocolError},
    protocol::frame::{CloseFrame, coding::CloseCode},
};
use tonic::Code;

use crate::{problem::Problem, status::Status};

/// The close code of a gRPC code is this and the code: 4005 is NOT_FOUND.
const CALL_FAILED: u16 = 4000;

/// Why a session ends.
#[derive(Debug)]
pub(super) enum End {
    /// The call went well.
    Done,
    /// The call failed.
    Failed(Status),
    /// A frame, or the path and query, are no message of the contract.
    Refused(Problem),
    /// The gateway is going away.
    Drained(Status),
    /// A frame that cannot be taken at all; the standard code says why.
    Unacceptable(CloseCode, &'static str),
    /// Nobody is there any more.
    Gone,
}

impl End {
    /// What a failure to read a frame means.
    pub(super) fn of_error(error: &Error) -> Self {
        match error {
            Error::Capacity(CapacityError::MessageTooLong { .. }) => {
                Self::Unacceptable(CloseCode::Size, "the message is too large")
            }
            Error::Utf8(_) => Self::Unacceptable(CloseCode::Invalid, "text must be UTF-8"),
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Self::Gone,
            Error::Protocol(_) => Self::Unacceptable(CloseCode::Protocol, "no WebSocket frame"),
            _ => Self::Gone,
        }
    }

    /// How the call ended, for those who count.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Done => code_name(Code::Ok),
            Self::Failed(status) | Self::Drained(status) => code_name(status.code),
            Self::Refused(_) | Self::Unacceptable(..) => code_name(Code::InvalidArgument),
            Self::Gone => code_name(Code::Cancelled),
        }
    }

    /// The last record, where there is one: `{"error": {problem}}`.
    pub(super) fn record(&self, request_id: &str) -> Option<Bytes> {
        let problem = match self {
            Self::Failed(status) | Self::Drained(status) => Problem::of_status(status),
            Self::Refused(problem) => problem.clone(),
            Self::Done | Self::Unacceptable(..) | Self::Gone => return None,
        };
        let problem = problem.for_request(request_id).json();
        Some([b"{\"error\":", &problem[..], b"}"].concat().into())
    }

    /// The close frame; `None` where nobody reads it.
    pub(super) fn frame(&self) -> Option<CloseFrame> {
        let failed = |code: Code| (CloseCode::from(CALL_FAILED + code as u16), code_name(code));
        let (code, reason) = match self {
            Self::Done => (CloseCode::Normal, ""),
            Self::Failed(status) => failed(status.code),
            Self::Refused(_) => failed(Code::InvalidArgument),
            Self::Drained(_) => (CloseCode::Away, "the gateway is going away"),
            Self::Unacceptable(code, reason) => (*code, *reason),
            Self::Gone => return None,
        };
        Some(CloseFrame {
            code,
            reason: reason.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_becomes_a_close_code() {
        for (end, code) in [
            (End::Done, 1000),
            (End::Failed(Status::new(Code::NotFound, "")), 4005),
            (End::Failed(Status::new(Code::Unauthenticated, "")), 4016),
            (End::Drained(Status::unavailable()), 1001),
        ] {
            let frame = end.frame().expect("a frame");
            assert_eq!(u16::from(frame.code), code);
        }
        assert!(End::Gone.frame().is_none());
    }
}

//! `google.rpc.Status` as it comes in trailers, and its HTTP face.

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use http::{HeaderMap, HeaderValue, StatusCode};
use prost::Message as _;
use tonic::Code;
use tonic_types::pb;

const GRPC_STATUS: &str = "grpc-status";
const GRPC_MESSAGE: &str = "grpc-message";
const DETAILS: &str = "grpc-status-details-bin";
/// What tonic's server says where the deadline of a call has passed.
const TIMEOUT_EXPIRED: &[u8] = b"Timeout expired";
/// Padded or not: gRPC libraries differ.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How a call ended, other than well.
#[derive(Clone, Debug)]
pub(crate) struct Status {
    pub(crate) code: Code,
    pub(crate) message: String,
    pub(crate) details: Vec<prost_types::Any>,
    /// Whether the upstream said it in its own words, rather than the transport in ours.
    pub(crate) from_upstream: bool,
}

impl Status {
    /// A status of our own making.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            details: Vec::new(),
            from_upstream: false,
        }
    }

    pub(crate) fn unavailable() -> Self {
        Self::new(
            Code::Unavailable,
            "the service cannot be reached now; try again",
        )
    }

    pub(crate) fn deadline_exceeded() -> Self {
        Self::new(Code::DeadlineExceeded, "the service did not answer in time")
    }

    pub(crate) fn bad_answer() -> Self {
        Self::new(
            Code::Internal,
            "the service gave an answer that cannot be read",
        )
    }

    /// Reads trailers, or headers of an answer that has nothing else; `None` where the call went well or they say nothing.
    pub(crate) fn read(trailers: &HeaderMap) -> Option<Self> {
        let code = Code::from_bytes(trailers.get(GRPC_STATUS)?.as_bytes());
        if code == Code::Ok {
            return None;
        }
        let message = trailers.get(GRPC_MESSAGE);
        let timed_out = code == Code::Cancelled
            && message.is_some_and(|message| {
                percent_decode(message.as_bytes()).as_bytes() == TIMEOUT_EXPIRED
            });
        if timed_out {
            return Some(Self::deadline_exceeded());
        }
        let status = trailers
            .get(DETAILS)
            .and_then(|value| BASE64.decode(value).ok())
            .and_then(|bytes| pb::Status::decode(&*bytes).ok());
        Some(Self {
            code,
            message: message
                .map(|value| percent_decode(value.as_bytes()))
                .unwrap_or_default(),
            details: status.map(|status| status.details).unwrap_or_default(),
            from_upstream: true,
        })
    }

    /// tonic's servers say CANCELLED where the time of a call is over; to everybody else that is DEADLINE_EXCEEDED.
    pub(crate) fn mend(trailers: &mut HeaderMap) {
        let is = |name: &str, text: &[u8]| {
            let value = trailers.get(name);
            value.is_some_and(|value| percent_decode(value.as_bytes()).as_bytes() == text)
        };
        if is(GRPC_STATUS, b"1") && is(GRPC_MESSAGE, TIMEOUT_EXPIRED) {
            trailers.insert(GRPC_STATUS, HeaderValue::from_static("4"));
        }
    }

    /// The status as trailers.
    pub(crate) fn trailers(&self) -> HeaderMap {
        let mut trailers = HeaderMap::with_capacity(3);
        trailers.insert(GRPC_STATUS, (self.code as i32).into());
        if let Ok(message) = HeaderValue::try_from(percent_encode(&self.message)) {
            trailers.insert(GRPC_MESSAGE, message);
        }
        if !self.details.is_empty() {
            let status = pb::Status {
                code: self.code as i32,
                message: self.message.clone(),
                details: self.details.clone(),
            };
            if let Ok(details) = HeaderValue::try_from(BASE64.encode(status.encode_to_vec())) {
                trailers.insert(DETAILS, details);
            }
        }
        trailers
    }

    /// What an HTTP status means where a proxy answered instead of a gRPC server.
    pub(crate) fn of_http(status: StatusCode) -> Self {
        let code = match status.as_u16() {
            401 => Code::Unauthenticated,
            403 => Code::PermissionDenied,
            404 => Code::Unimplemented,
            429 | 502..=504 => return Self::unavailable(),
            _ => Code::Unknown,
        };
        Self::new(code, "the service gave an answer that is not gRPC")
    }

    /// The first detail that is a `name`, e.g. `google.rpc.ErrorInfo`.
    pub(crate) fn detail<M: prost::Message + Default>(&self, name: &str) -> Option<M> {
        let mut found = self
            .details
            .iter()
            .filter(|detail| detail.type_url.rsplit('/').next() == Some(name));
        M::decode(&*found.next()?.value).ok()
    }
}

/// The HTTP status for a code, as google.rpc.Code says.
pub(crate) fn http_status(code: Code) -> StatusCode {
    let status = match code {
        Code::Ok => 200,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => 400,
        Code::Unauthenticated => 401,
        Code::PermissionDenied => 403,
        Code::NotFound => 404,
        Code::AlreadyExists | Code::Aborted => 409,
        Code::ResourceExhausted => 429,
        Code::Cancelled => 499,
        Code::Unknown | Code::Internal | Code::DataLoss => 500,
        Code::Unimplemented => 501,
        Code::Unavailable => 503,
        Code::DeadlineExceeded => 504,
    };
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// `grpc-message` holds printable ASCII; the rest is escaped.
fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => encoded.push(byte.into()),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// `grpc-message` is percent-encoded; escapes that are none stay as they are.
fn percent_decode(bytes: &[u8]) -> String {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, tail)) = rest.split_first() {
        let escape = tail.get(..2).filter(|_| byte == b'%').and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 16).ok()
        });
        match escape {
            Some(escaped) => {
                decoded.push(escaped);
                rest = &tail[2..];
            }
            None => {
                decoded.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_lose_their_escapes() {
        for (text, decoded) in [
            ("plain", "plain"),
            ("a%20b%c3%a9", "a bé"),
            ("100%", "100%"),
            ("%zz", "%zz"),
        ] {
            assert_eq!(percent_decode(text.as_bytes()), decoded);
        }
    }

    #[test]
    fn a_success_is_no_status() {
        let mut trailers = HeaderMap::new();
        assert!(Status::read(&trailers).is_none());
        trailers.insert("grpc-status", "0".parse().expect("a header"));
        assert!(Status::read(&trailers).is_none());
        trailers.insert("grpc-status", "5".parse().expect("a header"));
        assert_eq!(
            Status::read(&trailers).expect("a failure").code,
            Code::NotFound
        );
    }
}

//! Errors as clients see them: `application/problem+json` (RFC 9457).

use std::{sync::LazyLock, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use prost_reflect::DescriptorPool;
use prost_types::Any;
use serde::Serialize;
use serde_json::{Value, json};
use tonic::Code;
use tonic_types::pb;
use transcode::{InputError, Printer, Schema};

use crate::status::{self, Status};

/// Media type of a problem.
pub const PROBLEM_JSON: &str = "application/problem+json";
/// The domain of reasons that are the gateway's own.
const DOMAIN: &str = "gateway.caravan";
/// Wait that is asked for where a service is away or overloaded and does not say, in seconds.
const RETRY_AFTER_S: u64 = 1;

/// What went wrong with a request.
#[derive(Clone, Debug)]
pub struct Problem(Box<Members>);

#[derive(Clone, Debug, Serialize)]
struct Members {
    /// Always `about:blank`: the status says what kind it is.
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    /// A sentence for people.
    detail: String,
    /// The gRPC code.
    code: &'static str,
    /// Stable and for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Fields that are wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    violations: Vec<Violation>,
    /// All details of the status, in their JSON form.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    details: Vec<Value>,
    #[serde(rename = "requestId")]
    request_id: String,
    #[serde(skip)]
    retry_after_s: Option<u64>,
}

/// A field that is wrong.
#[derive(Clone, Debug, Serialize)]
pub struct Violation {
    /// JSON path of the field.
    pub field: String,
    /// What is wrong with it.
    pub description: String,
}

impl Problem {
    /// A problem that the gateway itself finds.
    pub fn new(status: StatusCode, reason: &str, detail: impl Into<String>) -> Self {
        let code = match status.as_u16() {
            401 => Code::Unauthenticated,
            403 => Code::PermissionDenied,
            404 | 405 => Code::NotFound,
            413 | 429 | 431 => Code::ResourceExhausted,
            502 | 503 => Code::Unavailable,
            504 => Code::DeadlineExceeded,
            426 | 501 => Code::Unimplemented,
            500 => Code::Internal,
            _ => Code::InvalidArgument,
        };
        Self(Box::new(Members {
            kind: "about:blank",
            title: title(status),
            status: status.as_u16(),
            detail: detail.into(),
            code: chassis::error::code_name(code),
            reason: Some(reason.to_owned()),
            violations: Vec::new(),
            details: Vec::new(),
            request_id: String::new(),
            retry_after_s: (status == StatusCode::SERVICE_UNAVAILABLE).then_some(RETRY_AFTER_S),
        }))
    }

    /// A header of the request that cannot be read.
    pub(crate) fn malformed_header(name: &str) -> Self {
        let detail = format!("the header {name} is malformed");
        Self::new(StatusCode::BAD_REQUEST, "INVALID_REQUEST", detail)
    }

    /// A request that is no message of the contract.
    pub(crate) fn of_input(error: &InputError) -> Self {
        let mut problem = Self::new(
            StatusCode::BAD_REQUEST,
            "INVALID_REQUEST",
            error.to_string(),
        );
        let field = error.field();
        problem.0.violations.push(Violation {
            field: if field.is_empty() {
                error.source().to_string()
            } else {
                field
            },
            description: error.problem().to_owned(),
        });
        problem
    }

    /// The same, said of one line of a body.
    pub(crate) fn in_line(mut self, number: u64) -> Self {
        self.0.detail = format!("line {number}: {}", self.0.detail);
        self
    }

    /// How a call ended. Texts of faults that no service chose for the public are replaced.
    pub(crate) fn of_status(status: &Status) -> Self {
        let http = status::http_status(status.code);
        let info = status.detail::<pb::ErrorInfo>("google.rpc.ErrorInfo");
        let fault = matches!(status.code, Code::Internal | Code::Unknown | Code::DataLoss);
        let silent = status.message.is_empty() || (fault && status.from_upstream && info.is_none());
        let violations = status
            .detail::<pb::BadRequest>("google.rpc.BadRequest")
            .unwrap_or_default();
        let retry = status
            .detail::<pb::RetryInfo>("google.rpc.RetryInfo")
            .and_then(|info| info.retry_delay);
        let retry = retry.and_then(|delay| Duration::try_from(delay).ok());
        let overloaded = matches!(status.code, Code::Unavailable | Code::ResourceExhausted);
        Self(Box::new(Members {
            kind: "about:blank",
            title: title(http),
            status: http.as_u16(),
            detail: if silent {
                title(http).to_owned()
            } else {
                status.message.clone()
            },
            code: chassis::error::code_name(status.code),
            reason: info.map(|info| info.reason).or_else(|| own_reason(status)),
            violations: violations
                .field_violations
                .into_iter()
                .map(|violation| Violation {
                    field: violation.field,
                    description: violation.description,
                })
                .collect(),
            details: status.details.iter().map(detail).collect(),
            request_id: String::new(),
            retry_after_s: retry
                .map(|delay| delay.as_secs_f64().ceil() as u64)
                .or(overloaded.then_some(RETRY_AFTER_S)),
        }))
    }

    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The gRPC code.
    pub(crate) fn code(&self) -> &'static str {
        self.0.code
    }

    /// Stable and for programs; empty where nobody says.
    pub(crate) fn reason(&self) -> &str {
        self.0.reason.as_deref().unwrap_or_default()
    }

    /// A sentence for people.
    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }

    pub(crate) fn for_request(mut self, request_id: &str) -> Self {
        request_id.clone_into(&mut self.0.request_id);
        self
    }

    /// The problem as JSON.
    pub(crate) fn json(&self) -> Bytes {
        serde_json::to_vec(&self.0).unwrap_or_default().into()
    }

    /// The problem as gRPC says it.
    pub(crate) fn trailers(&self) -> HeaderMap {
        let info = self.0.reason.as_ref().map(|reason| pb::ErrorInfo {
            reason: reason.clone(),
            domain: DOMAIN.to_owned(),
            ..Default::default()
        });
        Status {
            code: code_named(self.0.code),
            message: self.0.detail.clone(),
            details: info.iter().map(packed).collect(),
            from_upstream: false,
        }
        .trailers()
    }

    pub(crate) fn response(&self) -> Response<Bytes> {
        let mut response = Response::new(self.json());
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.0.status == 401 {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.0.status == 426 {
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        }
        if let Some(seconds) = self.0.retry_after_s {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// The reason of a status of our own making.
fn own_reason(status: &Status) -> Option<String> {
    if status.from_upstream {
        return None;
    }
    let reason = match status.code {
        Code::Unavailable => "UPSTREAM_UNAVAILABLE",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        _ => "UPSTREAM_ANSWER_UNREADABLE",
    };
    Some(reason.to_owned())
}

fn packed(info: &pb::ErrorInfo) -> Any {
    use prost::Message as _;

    Any {
        type_url: "type.googleapis.com/google.rpc.ErrorInfo".to_owned(),
        value: info.encode_to_vec(),
    }
}

fn code_named(name: &str) -> Code {
    let mut codes = (0..=16).map(Code::from_i32);
    codes
        .find(|code| chassis::error::code_name(*code) == name)
        .unwrap_or(Code::Unknown)
}

fn title(status: StatusCode) -> &'static str {
    match status.as_u16() {
        499 => "Client Closed Request",
        _ => status.canonical_reason().unwrap_or("Error"),
    }
}

/// Tables of google.rpc's error details, which contracts need not import.
static DETAILS: LazyLock<Option<Schema>> = LazyLock::new(|| {
    let pool = DescriptorPool::decode(pb::FILE_DESCRIPTOR_SET).ok()?;
    Some(Schema::compile(&pool))
});

fn detail(any: &prost_types::Any) -> Value {
    use prost::Message as _;

    let mut json = Vec::new();
    let printed = DETAILS.as_ref().and_then(|schema| {
        let id = schema.message_id("google.protobuf.Any")?;
        let wire = any.encode_to_vec();
        Printer::default()
            .message(schema, id, &wire, &mut json)
            .ok()?;
        serde_json::from_slice(&json).ok()
    });
    printed.unwrap_or_else(|| json!({"@type": any.type_url}))
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    #[test]
    fn details_of_a_status_become_json() {
        let info = pb::ErrorInfo {
            reason: "OUT_OF_STOCK".into(),
            domain: "inventory.caravan".into(),
            metadata: [("sku".to_owned(), "tea".to_owned())].into(),
        };
        let invalid = pb::BadRequest {
            field_violations: vec![pb::bad_request::FieldViolation {
                field: "lines[0].quantity".into(),
                description: "must be positive".into(),
                ..Default::default()
            }],
        };
        let any = |name: &str, value| prost_types::Any {
            type_url: format!("type.googleapis.com/google.rpc.{name}"),
            value,
        };
        let status = Status {
            code: Code::InvalidArgument,
            message: "no".into(),
            details: vec![
                any("ErrorInfo", info.encode_to_vec()),
                any("BadRequest", invalid.encode_to_vec()),
            ],
            from_upstream: true,
        };
        let problem = Problem::of_status(&status).for_request("r-1");
        let json: Value = serde_json::from_slice(&problem.json()).expect("JSON");
        assert_eq!(json["status"], 400);
        assert_eq!(json["code"], "INVALID_ARGUMENT");
        assert_eq!(json["reason"], "OUT_OF_STOCK");
        assert_eq!(json["requestId"], "r-1");
        assert_eq!(json["violations"][0]["field"], "lines[0].quantity");
        assert_eq!(json["details"][0]["metadata"]["sku"], "tea");
        assert_eq!(
            json["details"][1]["fieldViolations"][0]["description"],
            "must be positive"
        );
    }

    #[test]
    fn the_text_of_a_fault_stays_inside() {
        let mut status = Status::new(Code::Internal, "connection to 10.0.0.7 refused");
        status.from_upstream = true;
        let problem = Problem::of_status(&status);
        assert_eq!(problem.0.detail, "Internal Server Error");
    }
}

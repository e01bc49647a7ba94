//! A message that cannot be read is its sender's fault: tonic answers INTERNAL, which would count as ours.

use std::collections::HashMap;

use http::HeaderMap;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{body, status};

/// Makes INVALID_ARGUMENT of a refusal that tonic made before any handler was asked. Ours all carry details.
pub(super) fn mend(headers: &mut HeaderMap) {
    let is_tonics =
        body::code(headers) == Code::Internal && !headers.contains_key(Status::GRPC_STATUS_DETAILS);
    if !is_tonics {
        return;
    }
    let details =
        ErrorDetails::with_error_info("MALFORMED_MESSAGE", status::domain(), HashMap::new());
    let status = Status::with_error_details(
        Code::InvalidArgument,
        "The message is not one of the contract's, or is not whole.",
        details,
    );
    headers.remove(Status::GRPC_MESSAGE);
    // A fixed text always fits.
    let _ = status.add_header(headers);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mended(status: &Status) -> Status {
        let mut headers = HeaderMap::new();
        status.add_header(&mut headers).expect("fits");
        mend(&mut headers);
        Status::from_header_map(&headers).expect("a status")
    }

    #[test]
    fn only_what_no_handler_said_is_the_senders_fault() {
        let mended_one = mended(&Status::internal("Missing request message."));
        assert_eq!(mended_one.code(), Code::InvalidArgument);
        assert_eq!(status::reason(&mended_one), "MALFORMED_MESSAGE");
        let ours = status::with_reason(Code::Internal, "INTERNAL", status::FAULT_TEXT);
        assert_eq!(mended(&ours).code(), Code::Internal);
        let other = Status::not_found("nothing");
        assert_eq!(mended(&other).message(), "nothing");
    }
}

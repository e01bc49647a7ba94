//! Whether a caller may call, before the service is asked. Services check for themselves too.

use chassis::{
    Caller,
    auth::{Verifier, VerifyError, admitted, bearer},
};
use contracts::caravan::options::v1::Access;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::problem::Problem;

/// Who calls, where the contract lets them.
pub(super) async fn admit(
    verifier: &Verifier,
    access: &Access,
    headers: &HeaderMap,
) -> Result<Caller, Problem> {
    let caller = match bearer(headers) {
        Ok(None) => Ok(Caller::Anonymous),
        Ok(Some(token)) => verifier.verify(token).await,
        Err(error) => Err(error),
    };
    let caller = match caller {
        Ok(caller) => caller,
        // Who may call without a token may also call with a stale one, e.g. to log in again.
        Err(_) if access.public => Caller::Anonymous,
        Err(error) => return Err(refused(&error)),
    };
    admitted(access, caller).map_err(|refused| match refused {
        Caller::Anonymous => Problem::new(
            StatusCode::UNAUTHORIZED,
            "TOKEN_MISSING",
            "This call needs an access token.",
        ),
        _ => denied(),
    })
}

/// Nobody is let in, by the contract or by the operator.
pub(super) fn is_for_nobody(access: &Access) -> bool {
    *access == Access::default()
}

/// The answer to somebody who may not.
pub(super) fn denied() -> Problem {
    let detail = "The caller may not do this.";
    Problem::new(StatusCode::FORBIDDEN, "ACCESS_DENIED", detail)
}

fn refused(error: &VerifyError) -> Problem {
    tracing::info!(
        error = error as &dyn std::error::Error,
        "access token refused"
    );
    let (status, reason) = match error {
        VerifyError::Expired => (StatusCode::UNAUTHORIZED, "TOKEN_EXPIRED"),
        VerifyError::Revoked => (StatusCode::UNAUTHORIZED, "TOKEN_REVOKED"),
        VerifyError::Invalid(_) => (StatusCode::UNAUTHORIZED, "TOKEN_INVALID"),
        VerifyError::Keys(_) => (StatusCode::SERVICE_UNAVAILABLE, "KEYS_UNAVAILABLE"),
    };
    Problem::new(status, reason, error.status().message())
}

/// Says what a refused request lacks (RFC 6750).
pub(super) fn challenge(status: StatusCode, request: &HeaderMap, headers: &mut HeaderMap) {
    let challenge = match status {
        StatusCode::UNAUTHORIZED if request.contains_key(header::AUTHORIZATION) => {
            "Bearer error=\"invalid_token\""
        }
        StatusCode::UNAUTHORIZED => "Bearer",
        StatusCode::FORBIDDEN => "Bearer error=\"insufficient_scope\"",
        _ => return,
    };
    headers.insert(
        header::WWW_AUTHENTICATE,
        HeaderValue::from_static(challenge),
    );
}

//! Lets a call through by the contract's `access` option, and says who calls.

use axum::{extract::Request, middleware::Next, response::Response};
use contracts::caravan::options::v1::Access as Rule;
use http::{HeaderMap, header::AUTHORIZATION};
use secrecy::SecretString;
use tonic::{Code, Status};

use super::{
    forwarded,
    verifier::{Verifier, VerifyError},
};
use crate::{
    call::Caller,
    context, methods,
    server::{Peer, answer},
    status,
    tls::ServiceIds,
};

/// What says who calls.
#[derive(Clone)]
pub(crate) struct Access {
    /// Checks tokens.
    pub(crate) verifier: Verifier,
    /// How a sidecar in front names callers, where one is trusted.
    pub(crate) sidecar: Option<ServiceIds>,
}

impl Access {
    /// The service at the other end, by its certificate.
    fn service(&self, request: &Request) -> Option<String> {
        let peer = request.extensions().get::<Peer>()?;
        if let Some(service) = &peer.service {
            return Some(service.to_string());
        }
        let ids = self.sidecar.as_ref()?;
        // The sidecar is in the same pod: from elsewhere the header is anybody's.
        if !peer.address.ip().is_loopback() {
            return None;
        }
        ids.service_of(forwarded::id(request.headers())?)
    }
}

/// The layer: who calls goes into the request's extensions as [`Caller`].
pub(crate) async fn layer(access: Access, mut request: Request, next: Next) -> Response {
    let rule = methods::get(request.uri().path()).and_then(|method| method.policy.access.as_ref());
    let caller = match rule {
        // Health and reflection, which are everybody's; and what nobody serves, which the router refuses.
        None => Caller::Anonymous,
        Some(rule) => {
            let service = access.service(&request);
            match admit(&access.verifier, rule, service, request.headers()).await {
                Ok(caller) => caller,
                Err(status) => return answer(&status),
            }
        }
    };
    let user_token = match (&caller, bearer(request.headers())) {
        (Caller::User { .. }, Ok(Some(token))) => Some(SecretString::from(token)),
        _ => None,
    };
    request.extensions_mut().insert(caller);
    let Some(mut context) = context::current().filter(|_| user_token.is_some()) else {
        return next.run(request).await;
    };
    context.user_token = user_token;
    context::scope(context, next.run(request)).await
}

/// Who calls, where the rules let them: `service` is whom the connection shows.
async fn admit(
    verifier: &Verifier,
    rule: &Rule,
    service: Option<String>,
    headers: &HeaderMap,
) -> Result<Caller, Status> {
    let caller = match bearer(headers) {
        // A token says more than the connection: the service may speak for a user.
        Ok(None) => Ok(service.map_or(Caller::Anonymous, |name| Caller::Service { name })),
        Ok(Some(token)) => verifier.verify(token).await,
        Err(error) => Err(error),
    };
    match caller {
        Ok(caller) if is_admitted(rule, &caller) => Ok(caller),
        Ok(Caller::Anonymous) => Err(status::with_reason(
            Code::Unauthenticated,
            "TOKEN_MISSING",
            "This call needs an access token.",
        )),
        Ok(caller) => {
            tracing::info!(caller = caller.label(), "access denied");
            Err(status::with_reason(
                Code::PermissionDenied,
                "ACCESS_DENIED",
                "The caller may not do this.",
            ))
        }
        // Who may call without a token may also call with a stale one, e.g. to log in again.
        Err(_) if rule.public => Ok(Caller::Anonymous),
        Err(error) => {
            tracing::info!(
                error = &error as &dyn std::error::Error,
                "access token refused"
            );
            Err(error.status())
        }
    }
}

/// Whether the contract lets a caller in. Grants add up: any of them does.
pub fn is_admitted(rule: &Rule, caller: &Caller) -> bool {
    match caller {
        Caller::Anonymous => rule.public,
        Caller::User { roles, .. } => {
            rule.public || rule.signed_in || rule.roles.iter().any(|role| roles.contains(role))
        }
        Caller::Service { .. } => rule.public || rule.services,
    }
}

/// The token of `authorization: Bearer <token>`; `Ok(None)` where there is no such header.
///
/// # Errors
/// There are two such headers, or one that is no bearer token.
pub fn bearer(headers: &HeaderMap) -> Result<Option<&str>, VerifyError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(VerifyError::Invalid("two authorization headers"));
    }
    let text = value
        .to_str()
        .map_err(|_| VerifyError::Invalid("authorization header"))?;
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token.trim())),
        _ => Err(VerifyError::Invalid("no bearer token")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(roles: &[&str]) -> Caller {
        Caller::User {
            id: uuid::Uuid::now_v7(),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        }
    }

    #[test]
    fn grants_add_up() {
        let service = Caller::Service {
            name: "saga".into(),
        };
        let admins_and_services = Rule {
            roles: vec!["admin".into()],
            services: true,
            ..Rule::default()
        };
        assert!(is_admitted(&admins_and_services, &service));
        assert!(is_admitted(
            &admins_and_services,
            &user(&["customer", "admin"])
        ));
        assert!(!is_admitted(&admins_and_services, &user(&["customer"])));
        assert!(!is_admitted(&admins_and_services, &Caller::Anonymous));

        let signed_in = Rule {
            signed_in: true,
            ..Rule::default()
        };
        assert!(is_admitted(&signed_in, &user(&[])));
        assert!(!is_admitted(&signed_in, &service));

        let nobody = Rule::default();
        assert!(!is_admitted(&nobody, &user(&["admin"])) && !is_admitted(&nobody, &service));
    }

    #[test]
    fn only_one_bearer_token_counts() {
        let mut headers = HeaderMap::new();
        assert!(matches!(bearer(&headers), Ok(None)));
        headers.insert(AUTHORIZATION, "bearer abc".parse().unwrap());
        assert!(matches!(bearer(&headers), Ok(Some("abc"))));
        headers.append(AUTHORIZATION, "Bearer def".parse().unwrap());
        assert!(bearer(&headers).is_err());
        headers.insert(AUTHORIZATION, "Basic abc".parse().unwrap());
        assert!(bearer(&headers).is_err());
    }
}

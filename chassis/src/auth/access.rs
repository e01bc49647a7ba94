//! Lets a call through by the contract's `access` option, and says who calls.

use std::sync::Arc;

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
        (Caller::User { .. }, Ok(Some(token))) => Some(Arc::new(SecretString::from(token))),
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
    let caller = match caller {
        Ok(caller) => caller,
        // Who may call without a token may also call with a stale one, e.g. to log in again.
        Err(_) if rule.public => Caller::Anonymous,
        Err(error) => {
            tracing::info!(
                error = &error as &dyn std::error::Error,
                "access token refused"
            );
            return Err(error.status());
        }
    };
    admitted(rule, caller).map_err(|refused| match refused {
        Caller::Anonymous => status::with_reason(
            Code::Unauthenticated,
            "TOKEN_MISSING",
            "This call needs an access token.",
        ),
        caller => {
            tracing::info!(caller = caller.label(), "access denied");
            status::with_reason(
                Code::PermissionDenied,
                "ACCESS_DENIED",
                "The caller may not do this.",
            )
        }
    })
}

/// As whom the contract lets a caller in. Grants add up: any of them does.
///
/// A client whose scopes the rule does not name is nobody, and let in as such where everybody is.
///
/// # Errors
/// Whom it does not let in.
pub fn admitted(rule: &Rule, caller: Caller) -> Result<Caller, Caller> {
    let named = |granted: &[String], held: &[String]| granted.iter().any(|one| held.contains(one));
    let is_granted = match &caller {
        Caller::Anonymous => rule.public,
        Caller::User { roles, .. } => rule.public || rule.signed_in || named(&rule.roles, roles),
        Caller::Service { .. } => rule.public || rule.services,
        Caller::Client { scopes, .. } if named(&rule.scopes, scopes) => true,
        Caller::Client { .. } if rule.public => return Ok(Caller::Anonymous),
        Caller::Client { .. } => false,
    };
    match is_granted {
        true => Ok(caller),
        false => Err(caller),
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

    fn is_admitted(rule: &Rule, caller: &Caller) -> bool {
        admitted(rule, caller.clone()).is_ok_and(|admitted| admitted == *caller)
    }

    #[test]
    fn a_client_is_somebody_only_where_its_scope_counts() {
        let client = Caller::Client {
            id: "erp".into(),
            scopes: vec!["orders:read".into()],
        };
        let rule = |public: bool, scope: &str| Rule {
            public,
            scopes: vec![scope.to_owned()],
            ..Rule::default()
        };
        assert!(is_admitted(&rule(false, "orders:read"), &client));
        assert!(is_admitted(&rule(true, "orders:read"), &client));
        assert_eq!(
            admitted(&rule(true, "stock:write"), client.clone()),
            Ok(Caller::Anonymous)
        );
        assert_eq!(
            admitted(&rule(false, "stock:write"), client.clone()),
            Err(client.clone())
        );
        let others = Rule {
            signed_in: true,
            services: true,
            ..Rule::default()
        };
        assert!(!is_admitted(&others, &client));
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

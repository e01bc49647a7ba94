//! Where the endpoints are, and what they can.

use contracts::caravan::identity::v1 as pb;

use super::{OAuth, OAuthError, issue_token::CLIENT_CREDENTIALS};
use crate::{error::Error, rpc::clients::known_scopes};

/// How clients show their secret.
const AUTH_METHODS: [&str; 2] = ["client_secret_basic", "client_secret_post"];

pub(super) fn handle(rpc: &OAuth) -> Result<pb::GetServerMetadataResponse, Error> {
    let base = rpc.public_url.as_deref().ok_or(OAuthError::NoPublicUrl)?;
    let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
    Ok(pb::GetServerMetadataResponse {
        issuer: rpc.tokens.issuer().to_owned(),
        token_endpoint: format!("{base}/oauth2/token"),
        introspection_endpoint: format!("{base}/oauth2/introspect"),
        revocation_endpoint: format!("{base}/oauth2/revoke"),
        jwks_uri: format!("{base}/.well-known/jwks.json"),
        grant_types_supported: texts(&[CLIENT_CREDENTIALS]),
        // None: nobody is sent here by a browser.
        response_types_supported: Vec::new(),
        scopes_supported: known_scopes().into_iter().map(str::to_owned).collect(),
        token_endpoint_auth_methods_supported: texts(&AUTH_METHODS),
        introspection_endpoint_auth_methods_supported: texts(&AUTH_METHODS),
        revocation_endpoint_auth_methods_supported: texts(&AUTH_METHODS),
        id_token_signing_alg_values_supported: texts(&["ES256"]),
        subject_types_supported: texts(&["public"]),
    })
}

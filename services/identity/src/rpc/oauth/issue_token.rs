//! Trades a client's id and secret for an access token.

use std::collections::BTreeSet;

use chassis::clock;
use contracts::caravan::identity::v1 as pb;

use super::{
    OAuth, OAuthError,
    credentials::{self, Authorization, Known},
};
use crate::{domain::client::MESH, error::Error};

/// The one grant type that there is.
pub(super) const CLIENT_CREDENTIALS: &str = "client_credentials";

pub(super) async fn handle(
    rpc: &OAuth,
    shown: Authorization,
    request: pb::IssueTokenRequest,
) -> Result<pb::IssueTokenResponse, Error> {
    match request.grant_type.as_str() {
        CLIENT_CREDENTIALS => {}
        "" => return Err(OAuthError::InvalidRequest("grant_type is missing").into()),
        _ => return Err(OAuthError::UnsupportedGrantType.into()),
    }
    let form = (request.client_id, request.client_secret);
    let client = credentials::client(rpc, shown, form).await?;
    let client = client.ok_or(OAuthError::InvalidClient)?;
    let scope = granted(&client, &request.scope)?;
    let now = clock::now();
    let token = match client.is_of_mesh() {
        true => rpc.tokens.for_service(client.id(), now)?,
        false => rpc.tokens.for_client(client.id(), scope.clone(), now)?,
    };
    Ok(pb::IssueTokenResponse {
        access_token: token.text,
        token_type: "Bearer".to_owned(),
        expires_in: token.expires_in_s,
        scope,
    })
}

/// What of its scopes a client gets: what it asks for, or all.
fn granted(client: &Known, asked: &str) -> Result<String, OAuthError> {
    let has = match client {
        Known::Service(_) => BTreeSet::from([MESH]),
        Known::Client(client) => client.scopes.iter().map(String::as_str).collect(),
    };
    let asked: BTreeSet<_> = asked.split_whitespace().collect();
    if let Some(foreign) = asked.difference(&has).next() {
        return Err(OAuthError::InvalidScope((*foreign).to_owned()));
    }
    let granted = if asked.is_empty() { has } else { asked };
    Ok(granted.into_iter().collect::<Vec<_>>().join(" "))
}

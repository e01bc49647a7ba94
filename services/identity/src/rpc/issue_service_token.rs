//! What services of earlier releases ask for instead of `OAuthService.IssueToken`.

use chassis::Call;
use contracts::caravan::identity::v1 as pb;
use secrecy::SecretString;

use super::{Rpc, oauth::OAuthError};
use crate::error::Error;

pub(super) async fn handle(
    rpc: &Rpc,
    _call: Call,
    request: pb::IssueServiceTokenRequest,
) -> Result<pb::IssueServiceTokenResponse, Error> {
    let secret = SecretString::from(request.client_secret);
    if !rpc.service_clients.admits(&request.client_id, &secret) {
        return Err(OAuthError::InvalidClient.into());
    }
    let token = rpc
        .tokens
        .for_service(&request.client_id, chassis::clock::now())?;
    Ok(pb::IssueServiceTokenResponse {
        access_token: token.text,
        expires_in: token.expires_in_s,
    })
}

//! Trades a service's own id and secret for a token that names the service.

use chassis::Call;
use contracts::caravan::identity::v1 as pb;
use secrecy::SecretString;

use super::Rpc;
use crate::error::Error;

pub(super) async fn handle(
    rpc: &Rpc,
    _call: Call,
    request: pb::IssueServiceTokenRequest,
) -> Result<pb::IssueServiceTokenResponse, Error> {
    let secret = SecretString::from(request.client_secret);
    if !rpc.service_clients.admits(&request.client_id, &secret) {
        return Err(Error::InvalidClient);
    }
    let token = rpc
        .tokens
        .for_service(&request.client_id, chassis::clock::now())?;
    Ok(pb::IssueServiceTokenResponse {
        access_token: token.text,
        expires_in: token.expires_in_s,
    })
}

//! Makes a client and its first secret.

use chassis::{Call, clock};
use contracts::caravan::identity::v1 as pb;
use uuid::Uuid;

use super::{Clients, known_scopes, message, secret};
use crate::{domain::client::Client, error::Error, store};

pub(super) async fn handle(
    rpc: &Clients,
    _call: Call,
    request: pb::CreateClientRequest,
) -> Result<pb::CreateClientResponse, Error> {
    let client_id = request.client_id;
    if rpc.services.has(&client_id) {
        return Err(Error::ClientTaken(client_id));
    }
    let (secret, hash) = secret()?;
    let client = &Client::create(
        (Uuid::now_v7(), client_id, request.description),
        request.scopes.into_iter().collect(),
        &known_scopes(),
        hash,
        clock::now(),
    )?;
    rpc.db
        .write(|tx| async move {
            match store::clients::insert(&tx, client).await? {
                true => Ok(()),
                false => Err(Error::ClientTaken(client.client_id.clone())),
            }
        })
        .await?;
    Ok(pb::CreateClientResponse {
        client: Some(message(client.clone())),
        client_secret: secret,
    })
}

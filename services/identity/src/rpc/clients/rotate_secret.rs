//! Gives a client a new secret.

use chassis::{Call, clock};
use contracts::caravan::identity::v1 as pb;
use time::Duration;

use super::{Clients, message, secret};
use crate::{error::Error, store};

pub(super) async fn handle(
    rpc: &Clients,
    _call: Call,
    request: pb::RotateClientSecretRequest,
) -> Result<pb::RotateClientSecretResponse, Error> {
    let (secret, hash) = secret()?;
    let keep = Duration::hours(request.keep_previous_hours.into());
    let client_id = &request.client_id;
    let client = rpc.db.write(|tx| async move {
        let client = store::clients::find(&tx, client_id).await?;
        let mut client = client.ok_or_else(|| Error::NoClient(client_id.clone()))?;
        client.rotate(hash, keep, clock::now());
        store::clients::save(&tx, &client).await?;
        Ok::<_, Error>(client)
    });
    Ok(pb::RotateClientSecretResponse {
        client: Some(message(client.await?)),
        client_secret: secret,
    })
}

//! Lets a client get tokens or not.

use contracts::caravan::identity::v1 as pb;

use super::{Clients, message};
use crate::{error::Error, store};

pub(super) async fn handle(
    rpc: &Clients,
    client_id: String,
    is_disabled: bool,
) -> Result<pb::ServiceClient, Error> {
    let client_id = &client_id;
    let client = rpc.db.write(|tx| async move {
        let client = store::clients::find(&tx, client_id).await?;
        let mut client = client.ok_or_else(|| Error::NoClient(client_id.clone()))?;
        if client.set_disabled(is_disabled) {
            store::clients::save(&tx, &client).await?;
        }
        Ok::<_, Error>(client)
    });
    Ok(message(client.await?))
}

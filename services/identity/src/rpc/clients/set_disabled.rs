//! Lets a client get tokens or not.

use chassis::auth::client_uuid;
use contracts::caravan::identity::v1 as pb;

use super::{Clients, message};
use crate::{domain::revocation::Revocation, error::Error, store};

pub(super) async fn handle(
    rpc: &Clients,
    client_id: String,
    is_disabled: bool,
) -> Result<pb::ServiceClient, Error> {
    let client_id = &client_id;
    let moment = rpc.tokens.moment(chassis::clock::now());
    let client = rpc.db.write(|tx| async move {
        let client = store::clients::find(&tx, client_id).await?;
        let mut client = client.ok_or_else(|| Error::NoClient(client_id.clone()))?;
        if client.set_disabled(is_disabled) {
            store::clients::save(&tx, &client).await?;
            if is_disabled {
                let before = Revocation::until_now(client_uuid(client_id), moment);
                store::revoked_tokens::put(&tx, vec![before]).await?;
            }
        }
        Ok::<_, Error>(client)
    });
    Ok(message(client.await?))
}

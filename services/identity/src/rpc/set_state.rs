//! Opens or closes an account for its person; what deactivating and reactivating share.

use chassis::outbox;
use contracts::caravan::identity::v1 as pb;

use super::{Rpc, convert};
use crate::{domain::account::Account, error::Error, store};

pub(super) async fn handle(rpc: &Rpc, account_id: &str, active: bool) -> Result<Account, Error> {
    let id = convert::account_id(account_id, "accountId")?;
    rpc.db
        .write(|tx| async move {
            let mut account = store::accounts::find(&tx, id)
                .await?
                .ok_or(Error::NotFound(id))?;
            if let Some(updated) = account.set_active(active)? {
                store::accounts::save(&tx, &account).await?;
                if !active {
                    store::sessions::end_all(&tx, id).await?;
                }
                outbox::append(&tx, &pb::AccountUpdated::from(&updated)).await?;
            }
            Ok(account)
        })
        .await
}

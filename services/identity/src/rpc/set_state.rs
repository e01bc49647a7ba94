//! Opens or closes an account for its person; what deactivating and reactivating share.

use chassis::{Call, outbox};
use contracts::caravan::identity::v1 as pb;

use super::{Rpc, convert};
use crate::{
    domain::{
        account::Account,
        audit::{Action, Entry},
        revocation::Revocation,
    },
    error::Error,
    store,
};

pub(super) async fn handle(
    rpc: &Rpc,
    call: &Call,
    account_id: &str,
    active: bool,
) -> Result<Account, Error> {
    let id = convert::account_id(account_id, "accountId")?;
    let actor = &call.caller.label();
    let action = if active {
        Action::Reactivated
    } else {
        Action::Deactivated
    };
    let moment = rpc.tokens.moment(chassis::clock::now());
    rpc.db
        .write(|tx| async move {
            let mut account = store::accounts::find(&tx, id)
                .await?
                .ok_or(Error::NotFound(id))?;
            if let Some(updated) = account.set_active(active)? {
                store::accounts::save(&tx, &account).await?;
                if !active {
                    store::sessions::end_all(&tx, id, moment).await?;
                    // Also what a login gives out that is on its way.
                    let whole = Revocation::until_now(id, moment);
                    store::revoked_tokens::put(&tx, vec![whole]).await?;
                    store::challenges::forget(&tx, id).await?;
                }
                outbox::append(&tx, &pb::AccountUpdated::from(&updated)).await?;
                store::audit::append(&tx, Entry::new(actor.clone(), action, id)).await?;
            }
            Ok(account)
        })
        .await
}

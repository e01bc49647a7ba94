//! Closes the caller's account for good.

use chassis::{Call, outbox};
use contracts::caravan::identity::v1 as pb;
use secrecy::SecretString;

use super::{Rpc, authenticate::authenticate, my_account};
use crate::{
    domain::{
        audit::{Action, Entry},
        revocation::Revocation,
    },
    error::Error,
    store,
};

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    request: pb::CloseMyAccountRequest,
) -> Result<pb::CloseMyAccountResponse, Error> {
    let password = SecretString::from(request.password);
    let account = my_account(rpc, &call).await?;
    let id = account.parts().id;
    authenticate(rpc, &account.parts().email, password).await?;
    let moment = rpc.tokens.moment(chassis::clock::now());
    rpc.db
        .write(|tx| async move {
            let mut account = store::accounts::find(&tx, id)
                .await?
                .ok_or(Error::NotFound(id))?;
            if let Some(closed) = account.close() {
                store::accounts::save(&tx, &account).await?;
                store::accounts::forget_password(&tx, id).await?;
                store::mails::forget(&tx, id).await?;
                store::challenges::forget(&tx, id).await?;
                store::second_factors::forget(&tx, id).await?;
                store::sessions::end_all(&tx, id, moment).await?;
                let whole = Revocation::until_now(id, moment);
                store::revoked_tokens::put(&tx, vec![whole]).await?;
                outbox::append(&tx, &pb::AccountClosed::from(&closed)).await?;
                store::audit::append(&tx, Entry::by_owner(Action::Closed, id)).await?;
            }
            Ok::<_, Error>(())
        })
        .await?;
    Ok(pb::CloseMyAccountResponse {})
}

//! Opens an account. The e-mail address must not have one yet.

use chassis::{Call, outbox};
use contracts::caravan::identity::v1 as pb;
use secrecy::SecretString;
use uuid::Uuid;

use super::{Rpc, convert, send_mail, throttled};
use crate::{
    domain::{
        account::{Account, Registered, Role},
        audit::{Action, Entry},
        mail::Kind,
    },
    error::Error,
    store,
};

pub(super) async fn handle(
    rpc: &Rpc,
    _call: Call,
    request: pb::RegisterAccountRequest,
) -> Result<pb::RegisterAccountResponse, Error> {
    let password = SecretString::from(request.password);
    let roles = vec![Role::Customer];
    let registered = &Account::register(
        Uuid::now_v7(),
        &request.email,
        &request.display_name,
        roles,
        chassis::clock::now(),
    )?;
    let Registered(account) = registered;
    let address = throttled::address();
    throttled::check(rpc, &address).await?;
    // Before the costly hash; whoever comes at the same moment is caught below.
    if store::accounts::find_by_email(rpc.db.read(), &account.parts().email)
        .await?
        .is_some()
    {
        // Somebody may be finding out who has an account.
        throttled::settle(rpc, &address, false, None).await?;
        return Err(Error::EmailTaken);
    }
    let hash = &rpc.passwords.hash(password).await?;
    let mail = &send_mail::new(Some(account.parts().id), Kind::EmailVerification)?;
    rpc.db
        .write(|tx| async move {
            if !store::accounts::insert(&tx, account, hash).await? {
                return Err(Error::EmailTaken);
            }
            outbox::append(&tx, &pb::AccountRegistered::from(registered)).await?;
            send_mail::send(&tx, mail).await?;
            let entry = Entry::by_stranger(Action::Registered, Some(account.parts().id));
            store::audit::append(&tx, entry).await?;
            Ok(())
        })
        .await?;
    Ok(pb::RegisterAccountResponse {
        account: Some(convert::account(account)),
    })
}

//! Changes the caller's password, and ends all of their sessions.

use chassis::Call;
use contracts::caravan::identity::v1 as pb;
use secrecy::SecretString;

use super::{Rpc, authenticate::authenticate, my_account, send_mail};
use crate::{
    domain::{
        audit::{Action, Entry},
        mail::Kind,
    },
    error::Error,
    store,
};

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    request: pb::ChangePasswordRequest,
) -> Result<pb::ChangePasswordResponse, Error> {
    let current = SecretString::from(request.current_password);
    let new = SecretString::from(request.new_password);
    let account = my_account(rpc, &call).await?;
    let account = authenticate(rpc, &account.parts().email, current).await?;
    let id = account.parts().id;
    set_password(rpc, id, new, Entry::by_owner(Action::PasswordChanged, id)).await?;
    Ok(pb::ChangePasswordResponse {})
}

/// Stores a new password. Whoever came in by the old one is out, and so are mails that would set another.
pub(super) async fn set_password(
    rpc: &Rpc,
    account: uuid::Uuid,
    password: SecretString,
    entry: Entry,
) -> Result<(), Error> {
    let moment = rpc.tokens.moment(chassis::clock::now());
    let (hash, entry) = (&rpc.passwords.hash(password).await?, &entry);
    rpc.db
        .write(|tx| async move {
            store::accounts::set_password(&tx, account, hash.clone()).await?;
            store::mails::forget_tokens(&tx, account).await?;
            store::challenges::forget(&tx, account).await?;
            store::sessions::end_all(&tx, account, moment).await?;
            send_mail::tell(&tx, account, Kind::PasswordChanged).await?;
            store::audit::append(&tx, entry.clone()).await?;
            Ok(())
        })
        .await
}

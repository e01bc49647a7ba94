//! Sets a new password with the token of a mail.

use chassis::Call;
use contracts::caravan::identity::v1 as pb;
use secrecy::SecretString;

use super::{Rpc, change_password::set_password};
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
    _call: Call,
    request: pb::ResetPasswordRequest,
) -> Result<pb::ResetPasswordResponse, Error> {
    let password = SecretString::from(request.new_password);
    let (token, now) = (request.token.as_str(), chassis::clock::now());
    // Used up before the costly hash: a token is good for one try.
    let account = rpc
        .db
        .write(|tx| async move {
            let account = store::mails::take(&tx, Kind::PasswordReset, token, now).await?;
            account.ok_or(Error::InvalidMailToken)
        })
        .await?;
    let active = store::accounts::find(rpc.db.read(), account)
        .await?
        .is_some_and(|account| account.is_active());
    if !active {
        return Err(Error::InvalidMailToken);
    }
    let entry = Entry::by_stranger(Action::PasswordReset, Some(account));
    set_password(rpc, account, password, entry).await?;
    Ok(pb::ResetPasswordResponse {})
}

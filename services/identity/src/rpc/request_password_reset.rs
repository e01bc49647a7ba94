//! Sends a mail with which a new password can be set.

use chassis::Call;
use contracts::caravan::identity::v1 as pb;

use super::{Rpc, send_mail};
use crate::{
    domain::{account::Account, email::Email, mail::Kind},
    error::Error,
    store,
};

pub(super) async fn handle(
    rpc: &Rpc,
    _call: Call,
    request: pb::RequestPasswordResetRequest,
) -> Result<pb::RequestPasswordResetResponse, Error> {
    let email = Email::parse(&request.email)
        .ok_or_else(|| Error::invalid("email", "must be an e-mail address"))?;
    let account = store::accounts::find_by_email(rpc.db.read(), &email).await?;
    let account = account.filter(Account::is_active);
    // For nobody too: a row that nothing comes of takes as long.
    let mail = &send_mail::new(
        account.map(|account| account.parts().id),
        Kind::PasswordReset,
    )?;
    rpc.db
        .write(|tx| async move { send_mail::send(&tx, mail).await })
        .await?;
    Ok(pb::RequestPasswordResetResponse {})
}

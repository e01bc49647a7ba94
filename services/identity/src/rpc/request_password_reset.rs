//! Sends a mail with which a new password can be set.

use chassis::Call;
use contracts::caravan::identity::v1 as pb;

use super::{Rpc, send_mail};
use crate::{
    domain::{
        account::Account,
        audit::{Action, Entry},
        email::Email,
        mail::Kind,
    },
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
    let whose = account.map(|account| account.parts().id);
    let mail = &send_mail::new(whose, Kind::PasswordReset)?;
    rpc.db
        .write(|tx| async move {
            send_mail::send(&tx, mail).await?;
            let entry = Entry::by_stranger(Action::PasswordResetRequested, whose);
            Ok::<_, Error>(store::audit::append(&tx, entry).await?)
        })
        .await?;
    Ok(pb::RequestPasswordResetResponse {})
}

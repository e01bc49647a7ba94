//! Takes the token of a mail: the address is its owner's.

use chassis::{Call, outbox};
use contracts::caravan::identity::v1 as pb;

use super::{Rpc, convert};
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
    request: pb::VerifyEmailRequest,
) -> Result<pb::VerifyEmailResponse, Error> {
    let (token, now) = (request.token.as_str(), chassis::clock::now());
    let account = rpc
        .db
        .write(|tx| async move {
            let id = store::mails::take(&tx, Kind::EmailVerification, token, now)
                .await?
                .ok_or(Error::InvalidMailToken)?;
            let mut account = store::accounts::find(&tx, id)
                .await?
                .ok_or(Error::InvalidMailToken)?;
            if let Some(updated) = account.verify_email()? {
                store::accounts::save(&tx, &account).await?;
                outbox::append(&tx, &pb::AccountUpdated::from(&updated)).await?;
                let entry = Entry::by_stranger(Action::EmailVerified, Some(id));
                store::audit::append(&tx, entry).await?;
            }
            Ok::<_, Error>(account)
        })
        .await?;
    Ok(pb::VerifyEmailResponse {
        account: Some(convert::account(&account)),
    })
}

//! A mail that brings a token, and the event that lets somebody send it.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chassis::{
    db::{self, Tx},
    outbox,
};
use contracts::caravan::identity::v1 as pb;
use uuid::Uuid;

use crate::{
    domain::mail::{Kind, Mail, Requested},
    error::Error,
    store,
    tokens::refresh,
};

/// A new mail with a token that nobody can guess.
pub(super) fn new(account: Option<Uuid>, kind: Kind) -> Result<Mail, Error> {
    let token = URL_SAFE_NO_PAD.encode(refresh::random()?);
    let now = chassis::clock::now();
    Ok(Mail::new(Uuid::now_v7(), account, kind, token, now))
}

/// Stores the mail, and tells that it is to be sent where it is somebody's.
pub(super) async fn send(tx: &Tx, mail: &Mail) -> Result<(), db::Error> {
    store::mails::put(tx, mail).await?;
    if let Some(account) = mail.account {
        let requested = Requested {
            mail: mail.id,
            account,
            kind: mail.kind,
        };
        outbox::append(tx, &pb::MailRequested::from(&requested)).await?;
    }
    Ok(())
}

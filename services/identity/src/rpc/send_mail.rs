//! A mail, and the event that lets somebody send it.

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

/// A new mail; with a token that nobody can guess where it is to bring one.
pub(super) fn new(account: Option<Uuid>, kind: Kind) -> Result<Mail, Error> {
    let token = if Kind::WITH_TOKEN.contains(&kind) {
        Some(URL_SAFE_NO_PAD.encode(refresh::random()?))
    } else {
        None
    };
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

/// Tells a person what happened to their account: whoever did it may have been somebody else.
pub(super) async fn tell(tx: &Tx, account: Uuid, kind: Kind) -> Result<(), Error> {
    Ok(send(tx, &new(Some(account), kind)?).await?)
}

//! Mails that are to be sent, with their tokens.

use chassis::{Call, Caller};
use contracts::caravan::identity::v1 as pb;
use uuid::Uuid;

use super::Rpc;
use crate::{error::Error, events::publish::mail_kind, store};

/// The service that sends mails.
const POSTMAN: &str = "notification";
/// Mails of a page where the request does not say.
const DEFAULT_PAGE_SIZE: u64 = 20;

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    request: pb::ListPendingMailsRequest,
) -> Result<pb::ListPendingMailsResponse, Error> {
    // Whoever holds a token can set a password: no other service has business with it.
    if matches!(&call.caller, Caller::Service { name } if name != POSTMAN) {
        return Err(Error::NoPostman);
    }
    let after = match request.after_mail_id.as_str() {
        "" => Uuid::nil(),
        id => id
            .parse()
            .map_err(|_| Error::invalid("afterMailId", "must be a UUID"))?,
    };
    let size = match u64::try_from(request.page_size) {
        Ok(size) if size > 0 => size,
        _ => DEFAULT_PAGE_SIZE,
    };
    let pending = store::mails::pending(rpc.db.read(), after, size, chassis::clock::now()).await?;
    let people = pending.iter().filter_map(|mail| mail.account).collect();
    let accounts = store::accounts::find_all(rpc.db.read(), people).await?;
    let mails = pending.into_iter().filter_map(|mail| {
        let account = accounts
            .iter()
            .find(|account| Some(account.parts().id) == mail.account)?;
        Some(pb::PendingMail {
            mail_id: mail.id.to_string(),
            kind: mail_kind(mail.kind).into(),
            account_id: account.parts().id.to_string(),
            email: account.parts().email.to_string(),
            display_name: account.parts().display_name.clone(),
            token: mail.token.unwrap_or_default(),
            create_time: created(mail.id),
            expire_time: Some(chassis::clock::timestamp(mail.ends)),
        })
    });
    Ok(pb::ListPendingMailsResponse {
        mails: mails.collect(),
    })
}

/// When a mail was asked for, which its id says.
fn created(mail: Uuid) -> Option<prost_types::Timestamp> {
    let (seconds, nanos) = mail.get_timestamp()?.to_unix();
    Some(prost_types::Timestamp {
        seconds: i64::try_from(seconds).ok()?,
        nanos: i32::try_from(nanos).ok()?,
    })
}

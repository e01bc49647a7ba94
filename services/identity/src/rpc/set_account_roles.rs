//! Says what a person may be.

use chassis::{Call, outbox};
use contracts::caravan::identity::v1 as pb;

use super::{Rpc, convert, send_mail};
use crate::{
    domain::{
        account::Role,
        audit::{Action, Entry},
        mail::Kind,
        revocation::Revocation,
    },
    error::Error,
    store,
};

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    request: pb::SetAccountRolesRequest,
) -> Result<pb::SetAccountRolesResponse, Error> {
    let id = convert::account_id(&request.account_id, "accountId")?;
    let roles = request.roles.iter().enumerate().map(|(place, name)| {
        Role::parse(name).ok_or_else(|| {
            let names = "must be `customer`, `support`, `operator` or `admin`";
            Error::invalid(&format!("roles[{place}]"), names)
        })
    });
    let roles = &roles.collect::<Result<Vec<_>, _>>()?;
    let (by, actor) = (call.caller.user_id(), &call.caller.label());
    let detail = &request.roles.join(",");
    let moment = rpc.tokens.moment(chassis::clock::now());
    let account = rpc
        .db
        .write(|tx| async move {
            let mut account = store::accounts::find(&tx, id)
                .await?
                .ok_or(Error::NotFound(id))?;
            if let Some(updated) = account.set_roles(roles.clone(), by)? {
                store::accounts::save(&tx, &account).await?;
                outbox::append(&tx, &pb::AccountUpdated::from(&updated)).await?;
                let entry = Entry::new(actor.clone(), Action::RolesSet, id);
                store::audit::append(&tx, entry.with(detail)).await?;
                // Tokens say what their person was when they were made.
                let before = Revocation::until_now(id, moment);
                store::revoked_tokens::put(&tx, vec![before]).await?;
                send_mail::tell(&tx, id, Kind::RolesChanged).await?;
            }
            Ok::<_, Error>(account)
        })
        .await?;
    Ok(pb::SetAccountRolesResponse {
        account: Some(convert::account(&account)),
    })
}

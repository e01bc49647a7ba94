//! An admin takes somebody's second factor away who has lost it and the recovery codes.

use chassis::Call;
use contracts::caravan::identity::v1 as pb;

use super::Rpc;
use crate::{
    domain::{
        audit::{Action, Entry},
        mail::Kind,
    },
    error::Error,
    rpc::convert,
    rpc::send_mail,
    store,
};

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    request: pb::ResetSecondFactorRequest,
) -> Result<pb::ResetSecondFactorResponse, Error> {
    let id = convert::account_id(&request.account_id, "accountId")?;
    // Whoever has got hold of an admin's token must not get past the admin's own code with it.
    if call.caller.user_id() == Some(id) {
        return Err(Error::OwnSecondFactor);
    }
    let actor = &call.caller.label();
    rpc.db
        .write(|tx| async move {
            store::accounts::find(&tx, id)
                .await?
                .ok_or(Error::NotFound(id))?;
            if store::second_factors::forget(&tx, id).await? {
                store::challenges::forget(&tx, id).await?;
                let entry = Entry::new(actor.clone(), Action::SecondFactorReset, id);
                store::audit::append(&tx, entry).await?;
                send_mail::tell(&tx, id, Kind::SecondFactorReset).await?;
            }
            Ok::<_, Error>(())
        })
        .await?;
    Ok(pb::ResetSecondFactorResponse {})
}

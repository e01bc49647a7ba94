//! Logs out everywhere.

use chassis::Call;
use contracts::caravan::identity::v1 as pb;

use super::Rpc;
use crate::{
    domain::audit::{Action, Entry},
    error::Error,
    store,
};

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    _request: pb::EndAllSessionsRequest,
) -> Result<pb::EndAllSessionsResponse, Error> {
    let account = call.caller.user_id().ok_or(Error::NoPerson)?;
    let moment = rpc.tokens.moment(chassis::clock::now());
    let ended = rpc
        .db
        .write(|tx| async move {
            let ended = store::sessions::end_all(&tx, account, moment).await?;
            let entry = Entry::by_owner(Action::AllSessionsEnded, account);
            store::audit::append(&tx, entry).await?;
            Ok::<_, Error>(ended)
        })
        .await?;
    Ok(pb::EndAllSessionsResponse {
        ended: i32::try_from(ended).unwrap_or(i32::MAX),
    })
}

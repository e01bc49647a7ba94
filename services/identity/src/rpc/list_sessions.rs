//! The caller's sessions that have not ended.

use chassis::Call;
use contracts::caravan::identity::v1 as pb;

use super::{Rpc, convert};
use crate::{error::Error, store};

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    _request: pb::ListSessionsRequest,
) -> Result<pb::ListSessionsResponse, Error> {
    let account = call.caller.user_id().ok_or(Error::NoPerson)?;
    let now = chassis::clock::now();
    let sessions = store::sessions::of_account(rpc.db.read(), account, now).await?;
    Ok(pb::ListSessionsResponse {
        sessions: sessions.iter().map(convert::session_info).collect(),
    })
}

//! Ends one of the caller's sessions.

use chassis::Call;
use contracts::caravan::identity::v1 as pb;

use super::Rpc;
use crate::{error::Error, store};

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    request: pb::DeleteSessionRequest,
) -> Result<pb::DeleteSessionResponse, Error> {
    let account = call.caller.user_id().ok_or(Error::NoPerson)?;
    let id = request
        .session_id
        .parse()
        .map_err(|_| Error::invalid("sessionId", "must be a UUID"))?;
    let ended = rpc
        .db
        .write(|tx| async move { store::sessions::end(&tx, id, account).await })
        .await?;
    // Another person's session is answered as one that does not exist.
    if ended {
        Ok(pb::DeleteSessionResponse {})
    } else {
        Err(Error::NoSession(id))
    }
}

//! Ends one of the caller's sessions.

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
    request: pb::DeleteSessionRequest,
) -> Result<pb::DeleteSessionResponse, Error> {
    let account = call.caller.user_id().ok_or(Error::NoPerson)?;
    let id = request
        .session_id
        .parse()
        .map_err(|_| Error::invalid("sessionId", "must be a UUID"))?;
    let moment = rpc.tokens.moment(chassis::clock::now());
    let ended = rpc
        .db
        .write(|tx| async move {
            let ended = store::sessions::end(&tx, id, account, moment).await?;
            if ended {
                let entry = Entry::by_owner(Action::SessionEnded, account).with(id);
                store::audit::append(&tx, entry).await?;
            }
            Ok::<_, Error>(ended)
        })
        .await?;
    // Another person's session is answered as one that does not exist.
    if ended {
        Ok(pb::DeleteSessionResponse {})
    } else {
        Err(Error::NoSession(id))
    }
}

//! The caller's own account.

use chassis::Call;
use contracts::caravan::identity::v1 as pb;

use super::{Rpc, convert};
use crate::{error::Error, store};

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    _request: pb::GetMyAccountRequest,
) -> Result<pb::GetMyAccountResponse, Error> {
    let id = call.caller.user_id().ok_or(Error::NoPerson)?;
    let account = store::accounts::find(rpc.db.read(), id)
        .await?
        .ok_or(Error::NotFound(id))?;
    Ok(pb::GetMyAccountResponse {
        account: Some(convert::account(&account)),
    })
}

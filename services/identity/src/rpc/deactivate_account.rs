//! Makes an account inactive: it can no longer log in or buy.

use chassis::Call;
use contracts::caravan::identity::v1 as pb;

use super::{Rpc, convert, set_state};
use crate::error::Error;

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    request: pb::DeactivateAccountRequest,
) -> Result<pb::DeactivateAccountResponse, Error> {
    let account = set_state::handle(rpc, &call, &request.account_id, false).await?;
    Ok(pb::DeactivateAccountResponse {
        account: Some(convert::account(&account)),
    })
}

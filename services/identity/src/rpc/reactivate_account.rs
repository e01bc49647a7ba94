//! Makes an inactive account active again.

use chassis::Call;
use contracts::caravan::identity::v1 as pb;

use super::{Rpc, convert, set_state};
use crate::error::Error;

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    request: pb::ReactivateAccountRequest,
) -> Result<pb::ReactivateAccountResponse, Error> {
    let account = set_state::handle(rpc, &call, &request.account_id, true).await?;
    Ok(pb::ReactivateAccountResponse {
        account: Some(convert::account(&account)),
    })
}

//! The caller's own account.

use chassis::Call;
use contracts::caravan::identity::v1 as pb;

use super::{Rpc, convert, my_account};
use crate::error::Error;

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    _request: pb::GetMyAccountRequest,
) -> Result<pb::GetMyAccountResponse, Error> {
    let account = my_account(rpc, &call).await?;
    Ok(pb::GetMyAccountResponse {
        account: Some(convert::account(&account)),
    })
}

//! One account.

use chassis::Call;
use contracts::caravan::identity::v1 as pb;

use super::{Rpc, convert};
use crate::{error::Error, store};

pub(super) async fn handle(
    rpc: &Rpc,
    _call: Call,
    request: pb::GetAccountRequest,
) -> Result<pb::GetAccountResponse, Error> {
    let id = convert::account_id(&request.account_id, "accountId")?;
    let account = store::accounts::find(rpc.db.read(), id)
        .await?
        .ok_or(Error::NotFound(id))?;
    Ok(pb::GetAccountResponse {
        account: Some(convert::account(&account)),
    })
}

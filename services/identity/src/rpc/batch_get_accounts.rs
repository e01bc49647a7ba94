//! Many accounts at once; unknown ids are left out.

use chassis::Call;
use contracts::caravan::identity::v1 as pb;

use super::{Rpc, convert};
use crate::{error::Error, store};

pub(super) async fn handle(
    rpc: &Rpc,
    _call: Call,
    request: pb::BatchGetAccountsRequest,
) -> Result<pb::BatchGetAccountsResponse, Error> {
    let ids = request
        .account_ids
        .iter()
        .map(|id| convert::account_id(id, "accountIds"))
        .collect::<Result<_, _>>()?;
    let accounts = store::accounts::find_all(rpc.db.read(), ids).await?;
    Ok(pb::BatchGetAccountsResponse {
        accounts: accounts.iter().map(convert::account).collect(),
    })
}

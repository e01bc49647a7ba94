//! The stock of many skus; unknown ones are left out.

use chassis::Call;
use contracts::caravan::inventory::v1 as pb;

use super::{Rpc, convert};
use crate::{error::Error, store};

pub(super) async fn handle(
    rpc: &Rpc,
    _call: Call,
    request: pb::BatchGetStockRequest,
) -> Result<pb::BatchGetStockResponse, Error> {
    let stocks = store::stock::find(rpc.db.read(), &request.skus).await?;
    Ok(pb::BatchGetStockResponse {
        stocks: stocks.iter().map(convert::stock).collect(),
    })
}

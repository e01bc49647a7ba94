//! The stock of one sku.

use chassis::Call;
use contracts::caravan::inventory::v1 as pb;

use super::{Rpc, convert};
use crate::{error::Error, store};

pub(super) async fn handle(
    rpc: &Rpc,
    _call: Call,
    request: pb::GetStockRequest,
) -> Result<pb::GetStockResponse, Error> {
    let found = store::stock::find(rpc.db.read(), std::slice::from_ref(&request.sku)).await?;
    let stock = found.first().ok_or(Error::UnknownSku(request.sku))?;
    Ok(pb::GetStockResponse {
        stock: Some(convert::stock(stock)),
    })
}

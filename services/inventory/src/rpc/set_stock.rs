//! Says how many units are on hand.

use chassis::Call;
use contracts::caravan::inventory::v1 as pb;

use super::{Rpc, convert};
use crate::{domain::stock::Stock, error::Error, events::publish::publish, store};

pub(super) async fn handle(
    rpc: &Rpc,
    _call: Call,
    request: pb::SetStockRequest,
) -> Result<pb::SetStockResponse, Error> {
    let request = &request;
    let stock = rpc
        .db
        .write(|tx| async move {
            let known = store::stock::lock_one(&tx, &request.sku).await?;
            let mut stock = known.unwrap_or_else(|| Stock::new(request.sku.clone()));
            let events = stock.count(request.on_hand)?;
            if !events.is_empty() {
                store::stock::save(&tx, &stock).await?;
                publish(&tx, &events).await?;
            }
            Ok::<_, Error>(stock)
        })
        .await?;
    Ok(pb::SetStockResponse {
        stock: Some(convert::stock(&stock)),
    })
}

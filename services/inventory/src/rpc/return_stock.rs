//! Puts the committed units of an order back on hand.

use chassis::Call;
use contracts::caravan::inventory::v1 as pb;

use super::{Rpc, convert};
use crate::{change, domain::reservation::Reservation, error::Error};

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    request: pb::ReturnStockRequest,
) -> Result<pb::ReturnStockResponse, Error> {
    let order = convert::order_id(&request.order_id)?;
    rpc.db
        .once(&call, &request, |tx| async move {
            let known = change::held(&tx, order, Reservation::give_back).await?;
            if known {
                Ok(pb::ReturnStockResponse {})
            } else {
                Err(Error::NoReservation(order))
            }
        })
        .await
}

//! One order.

use chassis::Call;
use contracts::caravan::ordering::v1 as pb;

use super::{Rpc, convert};
use crate::error::Error;

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    request: pb::GetOrderRequest,
) -> Result<pb::GetOrderResponse, Error> {
    let order = rpc
        .visible_order(&call, convert::order_id(&request.order_id)?)
        .await?;
    Ok(pb::GetOrderResponse {
        order: Some(convert::order(&order)),
    })
}

//! One order.

use chassis::Call;
use contracts::caravan::ordering::v1 as pb;

use super::Rpc;
use crate::{error::Error, message};

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    request: pb::GetOrderRequest,
) -> Result<pb::GetOrderResponse, Error> {
    let order = rpc
        .visible_order(&call, message::order_id(&request.order_id)?)
        .await?;
    Ok(pb::GetOrderResponse {
        order: Some(message::order(&order)),
    })
}

//! One order, as it is or as it was.

use chassis::{Call, Violation, clock};
use contracts::caravan::ordering::v1 as pb;

use super::Rpc;
use crate::{error::Error, message, store};

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    request: pb::GetOrderRequest,
) -> Result<pb::GetOrderResponse, Error> {
    let id = message::order_id(&request.order_id)?;
    let mut order = rpc.visible_order(&call, id).await?;
    if let Some(as_of) = &request.as_of {
        let as_of = clock::from_timestamp(as_of)
            .ok_or_else(|| Violation::new("asOf", "is beyond all times"))?;
        order = store::history::load_as_of(rpc.db.read(), id, as_of)
            .await?
            .ok_or(Error::NotFound(id))?;
    }
    Ok(pb::GetOrderResponse {
        order: Some(message::order(&order)),
    })
}

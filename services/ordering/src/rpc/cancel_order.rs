//! Takes an order back.

use chassis::{Call, clock};
use contracts::caravan::ordering::v1 as pb;

use super::Rpc;
use crate::{error::Error, events::publish, message, store};

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    request: pb::CancelOrderRequest,
) -> Result<pb::CancelOrderResponse, Error> {
    let id = message::order_id(&request.order_id)?;
    rpc.visible_order(&call, id).await?;
    let order = rpc
        .db
        .write(|tx| async move {
            let mut order = store::orders::find(&tx, id)
                .await?
                .ok_or(Error::NotFound(id))?;
            if let Some(cancelled) = order.cancel(clock::now())? {
                store::orders::save(&tx, &order).await?;
                publish::cancelled(&tx, &order, cancelled).await?;
            }
            Ok::<_, Error>(order)
        })
        .await?;
    rpc.watchers.changed(id);
    Ok(pb::CancelOrderResponse {
        order: Some(message::order(&order)),
    })
}

//! A customer asks to send an order back; the saga `return` goes on from there.

use chassis::{Call, clock};
use contracts::caravan::ordering::v1 as pb;

use super::Rpc;
use crate::{error::Error, events::publish, message, store};

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    request: pb::RequestReturnRequest,
) -> Result<pb::RequestReturnResponse, Error> {
    let id = message::order_id(&request.order_id)?;
    rpc.visible_order(&call, id).await?;
    let reason = request.reason.as_str();
    let order = rpc
        .db
        .write(|tx| async move {
            let mut order = store::orders::find(&tx, id)
                .await?
                .ok_or(Error::NotFound(id))?;
            if order.request_return(clock::now())?.is_some() {
                store::orders::save(&tx, &order).await?;
                publish::return_requested(&tx, &order, reason).await?;
            }
            Ok::<_, Error>(order)
        })
        .await?;
    rpc.watchers.changed(id);
    Ok(pb::RequestReturnResponse {
        order: Some(message::order(&order)),
    })
}

//! A customer asks to send an order back; the saga `return` goes on from there.

use chassis::{Call, outbox::Actor};
use contracts::caravan::ordering::v1 as pb;

use super::{Rpc, change};
use crate::{error::Error, message};

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    request: pb::RequestReturnRequest,
) -> Result<pb::RequestReturnResponse, Error> {
    let id = message::order_id(&request.order_id)?;
    rpc.visible_order(&call, id).await?;
    let (actor, request) = (&Actor::of(&call), &request);
    let order = rpc
        .db
        .write(|tx| async move {
            change(&tx, id, actor, |order| {
                order.request_return(&request.reason)
            })
            .await
        })
        .await?;
    rpc.watchers.changed(id);
    Ok(pb::RequestReturnResponse {
        order: Some(message::order(&order)),
    })
}

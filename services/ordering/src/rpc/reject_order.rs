//! Turns an order down: the compensation of placing it.

use chassis::{Call, Violation, outbox::Actor};
use contracts::caravan::ordering::v1 as pb;

use super::{Rpc, change};
use crate::{domain::order::Rejection, error::Error, message};

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    request: pb::RejectOrderRequest,
) -> Result<pb::RejectOrderResponse, Error> {
    let id = message::order_id(&request.order_id)?;
    let rejection = request
        .rejection
        .as_ref()
        .ok_or_else(|| Violation::new("rejection", "must be set"))?;
    let actor = &Actor::of(&call);
    let reply = rpc
        .db
        .once(&call, &request, |tx| async move {
            let rejection = Rejection {
                reason: rejection.reason.clone(),
                message: rejection.message.clone(),
            };
            let order = change(&tx, id, actor, |order| order.reject(rejection)).await?;
            Ok::<_, Error>(pb::RejectOrderResponse {
                order: Some(message::order(&order)),
            })
        })
        .await?;
    rpc.watchers.changed(id);
    Ok(reply)
}

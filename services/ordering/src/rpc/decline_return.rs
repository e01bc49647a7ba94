//! Leaves an order with its customer: the compensation of asking for a return.

use chassis::{Call, outbox::Actor};
use contracts::caravan::ordering::v1 as pb;

use super::{Rpc, change};
use crate::{error::Error, message};

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    request: pb::DeclineReturnRequest,
) -> Result<pb::DeclineReturnResponse, Error> {
    let id = message::order_id(&request.order_id)?;
    let (actor, request) = (&Actor::of(&call), &request);
    let reply = rpc
        .db
        .once(&call, request, |tx| async move {
            let order = change(&tx, id, actor, |order| {
                order.decline_return(&request.message)
            })
            .await?;
            Ok::<_, Error>(pb::DeclineReturnResponse {
                order: Some(message::order(&order)),
            })
        })
        .await?;
    rpc.watchers.changed(id);
    Ok(reply)
}

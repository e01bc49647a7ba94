//! Takes an order back from its customer: the pivot of a return.

use chassis::{Call, outbox::Actor};
use contracts::caravan::ordering::v1 as pb;

use super::{Rpc, change};
use crate::{error::Error, message};

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    request: pb::AcceptReturnRequest,
) -> Result<pb::AcceptReturnResponse, Error> {
    let id = message::order_id(&request.order_id)?;
    let actor = &Actor::of(&call);
    let reply = rpc
        .db
        .once(&call, &request, |tx| async move {
            let order = change(&tx, id, actor, |order| order.accept_return()).await?;
            Ok::<_, Error>(pb::AcceptReturnResponse {
                order: Some(message::order(&order)),
            })
        })
        .await?;
    rpc.watchers.changed(id);
    Ok(reply)
}

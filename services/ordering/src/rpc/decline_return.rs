//! Leaves an order with its customer: the compensation of asking for a return.

use chassis::{Call, clock};
use contracts::caravan::ordering::v1 as pb;

use super::Rpc;
use crate::{error::Error, events::publish, message, store};

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    request: pb::DeclineReturnRequest,
) -> Result<pb::DeclineReturnResponse, Error> {
    let id = message::order_id(&request.order_id)?;
    let text = request.message.as_str();
    let reply = rpc
        .db
        .once(&call, &request, |tx| async move {
            let mut order = store::orders::find(&tx, id)
                .await?
                .ok_or(Error::NotFound(id))?;
            if order.decline_return(clock::now())?.is_some() {
                store::orders::save(&tx, &order).await?;
                publish::return_declined(&tx, &order, text).await?;
            }
            Ok::<_, Error>(pb::DeclineReturnResponse {
                order: Some(message::order(&order)),
            })
        })
        .await?;
    rpc.watchers.changed(id);
    Ok(reply)
}

//! Takes an order back from its customer: the pivot of a return.

use chassis::{Call, clock};
use contracts::caravan::ordering::v1 as pb;

use super::Rpc;
use crate::{error::Error, events::publish, message, store};

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    request: pb::AcceptReturnRequest,
) -> Result<pb::AcceptReturnResponse, Error> {
    let id = message::order_id(&request.order_id)?;
    let reply = rpc
        .db
        .once(&call, &request, |tx| async move {
            let mut order = store::orders::find(&tx, id)
                .await?
                .ok_or(Error::NotFound(id))?;
            if order.accept_return(clock::now())?.is_some() {
                store::orders::save(&tx, &order).await?;
                publish::returned(&tx, &order).await?;
            }
            Ok::<_, Error>(pb::AcceptReturnResponse {
                order: Some(message::order(&order)),
            })
        })
        .await?;
    rpc.watchers.changed(id);
    Ok(reply)
}

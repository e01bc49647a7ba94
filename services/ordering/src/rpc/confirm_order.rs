//! Accepts an order: the pivot of checkout.

use chassis::{Call, outbox::Actor};
use contracts::caravan::ordering::v1 as pb;

use super::{Rpc, record};
use crate::{error::Error, message, store};

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    request: pb::ConfirmOrderRequest,
) -> Result<pb::ConfirmOrderResponse, Error> {
    let id = message::order_id(&request.order_id)?;
    let actor = &Actor::of(&call);
    let reply = rpc
        .db
        .once(&call, &request, |tx| async move {
            let order = store::history::load(&tx, id)
                .await?
                .ok_or(Error::NotFound(id))?;
            // No copy yet means that no event has said anything against the account.
            let customer = store::customers::find(&tx, order.parts().customer_id).await?;
            let account_active = customer.is_none_or(|customer| customer.active);
            let decision = order.confirm(account_active)?;
            let order = record(&tx, order, decision, actor).await?;
            Ok::<_, Error>(pb::ConfirmOrderResponse {
                order: Some(message::order(&order)),
            })
        })
        .await?;
    rpc.watchers.changed(id);
    Ok(reply)
}

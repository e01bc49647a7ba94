//! Accepts an order: the pivot of checkout.

use chassis::{Call, clock};
use contracts::caravan::ordering::v1 as pb;

use super::Rpc;
use crate::{error::Error, events::publish, message, store};

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    request: pb::ConfirmOrderRequest,
) -> Result<pb::ConfirmOrderResponse, Error> {
    let id = message::order_id(&request.order_id)?;
    let reply = rpc
        .db
        .once(&call, &request, |tx| async move {
            let mut order = store::orders::find(&tx, id)
                .await?
                .ok_or(Error::NotFound(id))?;
            // No copy yet means that no event has said anything against the account.
            let customer = store::customers::find(&tx, order.parts().customer_id).await?;
            let account_active = customer.is_none_or(|customer| customer.active);
            if order.confirm(account_active, clock::now())?.is_some() {
                store::orders::save(&tx, &order).await?;
                publish::confirmed(&tx, &order).await?;
            }
            Ok::<_, Error>(pb::ConfirmOrderResponse {
                order: Some(message::order(&order)),
            })
        })
        .await?;
    rpc.watchers.changed(id);
    Ok(reply)
}

//! Turns an order down: the compensation of placing it.

use chassis::{Call, Violation, clock};
use contracts::caravan::ordering::v1 as pb;

use super::Rpc;
use crate::{domain::order::Rejection, error::Error, events::publish, message, store};

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
    let reply = rpc
        .db
        .once(&call, &request, |tx| async move {
            let mut order = store::orders::find(&tx, id)
                .await?
                .ok_or(Error::NotFound(id))?;
            let rejection = Rejection {
                reason: rejection.reason.clone(),
                message: rejection.message.clone(),
            };
            if order.reject(rejection, clock::now())?.is_some() {
                store::orders::save(&tx, &order).await?;
                publish::rejected(&tx, &order).await?;
            }
            Ok::<_, Error>(pb::RejectOrderResponse {
                order: Some(message::order(&order)),
            })
        })
        .await?;
    rpc.watchers.changed(id);
    Ok(reply)
}

//! Holds stock for an order: all lines or none.

use chassis::Call;
use contracts::caravan::inventory::v1 as pb;
use uuid::Uuid;

use super::{Rpc, convert};
use crate::{domain::reservation::Reservation, error::Error, events::publish::publish, store};

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    request: pb::ReserveStockRequest,
) -> Result<pb::ReserveStockResponse, Error> {
    let order = convert::order_id(&request.order_id)?;
    let lines = &convert::lines(&request.lines)?;
    let (id, expires) = (Uuid::now_v7(), chassis::clock::now() + rpc.hold_ttl);
    rpc.db
        .once(&call, &request, |tx| async move {
            if let Some(held) = store::reservations::lock(&tx, order).await? {
                held.meets(lines)?;
                return Ok(reply(&held));
            }
            let mut shelf = store::stock::lock(&tx, lines).await?;
            let (held, events) = Reservation::hold(id, order, lines.clone(), expires, &mut shelf)?;
            store::reservations::insert(&tx, &held).await?;
            store::stock::save_all(&tx, &shelf).await?;
            publish(&tx, events).await?;
            Ok::<_, Error>(reply(&held))
        })
        .await
}

fn reply(held: &Reservation) -> pb::ReserveStockResponse {
    pb::ReserveStockResponse {
        reservation_id: held.parts().id.to_string(),
    }
}

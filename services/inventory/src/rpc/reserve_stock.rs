//! Holds stock for an order: all lines or none.

use chassis::{Call, db};
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
            let mut shelf = store::stock::lock(&tx, lines).await?;
            let wish = Reservation::hold(id, order, lines.clone(), expires, &mut shelf);
            if let Ok((held, events)) = &wish
                && store::reservations::insert(&tx, held).await?
            {
                store::stock::save_all(&tx, &shelf).await?;
                publish(&tx, events).await?;
                return Ok(reply(held));
            }
            // Looked for only here, since an order is hardly ever reserved twice.
            // Not locked: whoever changes it may wait for the stock that is locked above.
            match store::reservations::find(&tx, order).await? {
                Some(held) => held
                    .meets(lines)
                    .map(|()| reply(&held))
                    .map_err(Error::from),
                None => Err(wish
                    .err()
                    .map_or(Error::Store(db::Error::Conflict), Error::from)),
            }
        })
        .await
}

fn reply(held: &Reservation) -> pb::ReserveStockResponse {
    pb::ReserveStockResponse {
        reservation_id: held.parts().id.to_string(),
    }
}

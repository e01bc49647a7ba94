//! Takes the held units off the stock: they leave the house.

use chassis::Call;
use contracts::caravan::inventory::v1 as pb;

use super::{Rpc, convert};
use crate::{
    change::{self, Outcome},
    domain::reservation::Reservation,
    error::Error,
};

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    request: pb::CommitStockRequest,
) -> Result<pb::CommitStockResponse, Error> {
    let order = convert::order_id(&request.order_id)?;
    rpc.db
        .once(&call, &request, |tx| async move {
            match change::held(&tx, order, Reservation::commit).await? {
                Outcome::NoHold => Err(Error::NoReservation(order)),
                Outcome::Unchanged | Outcome::Changed => Ok(pb::CommitStockResponse {}),
            }
        })
        .await
}

//! Gives a hold back. An order without one is no error.

use chassis::Call;
use contracts::caravan::inventory::v1 as pb;

use super::{Rpc, convert};
use crate::{change, domain::reservation::Reservation, error::Error};

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    request: pb::ReleaseStockRequest,
) -> Result<pb::ReleaseStockResponse, Error> {
    let order = convert::order_id(&request.order_id)?;
    rpc.db
        .once(&call, &request, |tx| async move {
            change::held(&tx, order, Reservation::release).await?;
            Ok::<_, Error>(pb::ReleaseStockResponse {})
        })
        .await
}

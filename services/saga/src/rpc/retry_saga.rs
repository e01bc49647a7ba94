//! An operator puts a parked saga to work again.

use chassis::Call;
use contracts::caravan::saga::v1 as pb;

use super::{Rpc, convert, get_saga};
use crate::{engine::Intervention, error::Error};

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    request: pb::RetrySagaRequest,
) -> Result<pb::RetrySagaResponse, Error> {
    let id = convert::saga_id(&request.saga_id)?;
    let intervention = Intervention::Retry {
        by: call.caller.label(),
        reason: request.reason,
    };
    rpc.engine.intervene(id, intervention).await?;
    Ok(pb::RetrySagaResponse {
        saga: Some(get_saga::read(rpc, id).await?),
    })
}

//! An operator or a service aborts a saga before its pivot.

use chassis::Call;
use contracts::caravan::saga::v1 as pb;

use super::{Rpc, convert, get_saga};
use crate::{engine::Intervention, error::Error};

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    request: pb::CancelSagaRequest,
) -> Result<pb::CancelSagaResponse, Error> {
    let id = convert::saga_id(&request.saga_id)?;
    let intervention = Intervention::Cancel {
        by: call.caller.label(),
        reason: request.reason,
    };
    rpc.engine.intervene(id, intervention).await?;
    Ok(pb::CancelSagaResponse {
        saga: Some(get_saga::read(rpc, id).await?),
    })
}

//! An operator leaves a step out, or its undoing.

use chassis::Call;
use contracts::caravan::saga::v1 as pb;

use super::{Rpc, convert, get_saga};
use crate::{domain::transition::Verdict, engine::Intervention, error::Error};

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    request: pb::SkipStepRequest,
) -> Result<pb::SkipStepResponse, Error> {
    let id = convert::saga_id(&request.saga_id)?;
    let intervention = Intervention::Override {
        by: call.caller.label(),
        reason: request.reason,
        step: request.step,
        item: convert::item(request.item),
        verdict: Verdict::Skipped,
    };
    rpc.engine.intervene(id, intervention).await?;
    Ok(pb::SkipStepResponse {
        saga: Some(get_saga::read(rpc, id).await?),
    })
}

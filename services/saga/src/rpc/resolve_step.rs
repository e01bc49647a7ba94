//! An operator settles a step with an outcome that nobody else will tell.

use chassis::Call;
use contracts::caravan::saga::v1::{self as pb, resolve_step_request::Outcome};
use prost::{Message as _, bytes::Bytes};

use super::{Rpc, convert, get_saga};
use crate::{
    domain::{
        definition::Step,
        saga::Refused,
        transition::{Failure, RESOLVED, Verdict},
    },
    engine::Intervention,
    error::Error,
};

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    request: pb::ResolveStepRequest,
) -> Result<pb::ResolveStepResponse, Error> {
    let id = convert::saga_id(&request.saga_id)?;
    let verdict = match request.outcome {
        Some(Outcome::Reply(reply)) => {
            let row = get_saga::row(rpc, id).await?;
            let registry = rpc.engine.registry();
            let definition = registry.version(&row.definition, row.version).await?;
            let step = definition.step(&request.step).ok_or(Refused::NoStep)?;
            Verdict::Done(self::reply(&definition.steps[step], reply)?)
        }
        Some(Outcome::Failure(failure)) => Verdict::Failed(Failure {
            code: RESOLVED.into(),
            reason: failure.reason,
            message: failure.message,
            ..Failure::default()
        }),
        None => return Err(Error::invalid("outcome", "is missing")),
    };
    let intervention = Intervention::Override {
        by: call.caller.label(),
        reason: request.reason,
        step: request.step,
        item: convert::item(request.item),
        verdict,
    };
    rpc.engine.intervene(id, intervention).await?;
    Ok(pb::ResolveStepResponse {
        saga: Some(get_saga::read(rpc, id).await?),
    })
}

/// The reply as the message that the step's method answers; `None` of a step that calls nothing.
fn reply(step: &Step, reply: prost_types::Struct) -> Result<Option<Bytes>, Error> {
    let call = step.call.as_ref().map(|call| &call.output);
    let signal = step.wait_for.as_ref().map(|wait| &wait.payload);
    let Some(wanted) = call.or(signal) else {
        return Ok(None);
    };
    let message = convert::message_of(reply, wanted, "reply")?;
    Ok(Some(message.encode_to_vec().into()))
}

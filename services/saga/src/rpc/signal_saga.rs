//! Somebody sends a saga a signal.

use chassis::Call;
use contracts::caravan::saga::v1 as pb;
use prost::Message as _;
use uuid::Uuid;

use super::{Rpc, convert, get_saga};
use crate::{domain::saga::MAX_SIGNAL_BYTES, engine::Intervention, error::Error, store};

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    request: pb::SignalSagaRequest,
) -> Result<pb::SignalSagaResponse, Error> {
    let id = saga(rpc, &request).await?;
    chassis::audit::target(id);
    let payload = request.payload.unwrap_or_default().encode_to_vec();
    if payload.len() > MAX_SIGNAL_BYTES {
        let text = format!("has at most {MAX_SIGNAL_BYTES} bytes");
        return Err(Error::invalid("payload", text));
    }
    let signal_id = match request.signal_id {
        id if id.is_empty() => Uuid::now_v7().to_string(),
        id => id,
    };
    let intervention = Intervention::Signal {
        by: call.caller.label(),
        reason: request.reason,
        signal: request.signal,
        id: signal_id,
        payload: payload.into(),
    };
    rpc.engine.intervene(id, intervention).await?;
    Ok(pb::SignalSagaResponse {
        saga: Some(get_saga::read(rpc, id).await?),
    })
}

/// Which saga is meant: by its id, or by definition and key.
async fn saga(rpc: &Rpc, request: &pb::SignalSagaRequest) -> Result<Uuid, Error> {
    let (definition, key) = (&request.definition, &request.key);
    match (
        request.saga_id.is_empty(),
        definition.is_empty() && key.is_empty(),
    ) {
        (false, true) => convert::saga_id(&request.saga_id),
        (true, false) => {
            let read = rpc.engine.db().read();
            let row = store::sagas::find_by_key(read, definition, key).await?;
            let unknown = || Error::NoSagaOfKey(definition.clone(), key.clone());
            Ok(row.ok_or_else(unknown)?.id)
        }
        _ => Err(Error::invalid(
            "sagaId",
            "name the saga by its id, or else by definition and key",
        )),
    }
}

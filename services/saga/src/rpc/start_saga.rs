//! A saga is started once for each definition and key.

use chassis::Call;
use contracts::caravan::saga::v1 as pb;
use prost::Message as _;
use prost_reflect::DynamicMessage;

use super::{Rpc, convert, get_saga};
use crate::{
    engine::{fingerprint, input_descriptor, read_input},
    error::Error,
    store::{self, entity::saga::Model},
};

pub(super) async fn handle(
    rpc: &Rpc,
    _call: Call,
    request: pb::StartSagaRequest,
) -> Result<pb::StartSagaResponse, Error> {
    let (version, definition) = rpc.engine.registry().newest(&request.definition).await?;
    let wanted = input_descriptor(&definition);
    let input = convert::message_of(request.input.unwrap_or_default(), &wanted, "input")?;
    rpc.engine.admit().await?;
    let bytes = input.encode_to_vec();
    let (of, key) = ((version, definition.clone()), request.key);
    let beginning = rpc.engine.prepare(of, key.clone(), &input, bytes)?;
    if rpc.engine.store(&beginning).await? {
        let saga = pb::Saga {
            steps: convert::steps(beginning.saga(), beginning.records()),
            ..convert::saga(beginning.row())
        };
        rpc.engine.launch(beginning);
        return Ok(pb::StartSagaResponse { saga: Some(saga) });
    }
    drop(beginning);
    let known = store::sagas::find_by_key(rpc.engine.db().read(), &definition.name, &key).await?;
    let row = known.ok_or(chassis::db::Error::Conflict)?;
    if !is_same(rpc, &row, &input).await? {
        return Err(Error::InputDiffers(row.id));
    }
    Ok(pb::StartSagaResponse {
        saga: Some(get_saga::of_row(rpc, &row).await?),
    })
}

/// Whether the saga was started with this input.
async fn is_same(rpc: &Rpc, row: &Model, input: &DynamicMessage) -> Result<bool, Error> {
    if row.erased {
        return Ok(row.input == fingerprint(input)?);
    }
    let registry = rpc.engine.registry();
    let started_by = registry.version(&row.definition, row.version).await?;
    Ok(read_input(&started_by, &row.input)? == *input)
}

//! A saga is started once for each definition and key.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use chassis::Call;
use contracts::caravan::saga::v1 as pb;
use prost::{Message as _, bytes::Bytes};
use prost_reflect::{DynamicMessage, MessageDescriptor};

use super::{Rpc, get_saga};
use crate::{
    domain::{definition::Definition, saga},
    engine::{input_descriptor, read_input},
    error::Error,
    store,
};

pub(super) async fn handle(
    rpc: &Rpc,
    _call: Call,
    request: pb::StartSagaRequest,
) -> Result<pb::StartSagaResponse, Error> {
    let (version, definition) = rpc.engine.registry().newest(&request.definition).await?;
    let input = input(&definition, request.input.unwrap_or_default())?;
    let known =
        store::sagas::find_by_key(rpc.engine.db().read(), &definition.name, &request.key).await?;
    let id = match known {
        Some(known) => known.id,
        None => {
            let bytes = input.encode_to_vec();
            let beginning = rpc.engine.prepare(
                (version, definition.clone()),
                request.key.clone(),
                &input,
                bytes,
            );
            let inserted = AtomicBool::new(false);
            let (unit, flag) = (&beginning, &inserted);
            rpc.engine
                .db()
                .write(|tx| async move {
                    flag.store(unit.insert(&tx).await?, Relaxed);
                    Ok::<_, Error>(())
                })
                .await?;
            if inserted.load(Relaxed) {
                let id = beginning.id();
                rpc.engine.launch(beginning);
                return Ok(pb::StartSagaResponse {
                    saga: Some(get_saga::read(rpc, id).await?),
                });
            }
            // Somebody else started it in between.
            let known =
                store::sagas::find_by_key(rpc.engine.db().read(), &definition.name, &request.key)
                    .await?;
            known.ok_or(chassis::db::Error::Conflict)?.id
        }
    };
    let row = store::sagas::find(rpc.engine.db().read(), id)
        .await?
        .ok_or(Error::NoSaga(id))?;
    let started_by = rpc
        .engine
        .registry()
        .version(&row.definition, row.version)
        .await?;
    if read_input(&started_by, &row.input)? != input {
        return Err(Error::InputDiffers(id));
    }
    Ok(pb::StartSagaResponse {
        saga: Some(get_saga::read(rpc, id).await?),
    })
}

/// The input as the message that the definition's expressions see.
fn input(definition: &Definition, input: prost_types::Struct) -> Result<DynamicMessage, Error> {
    let encoded = Bytes::from(input.encode_to_vec());
    let wanted: MessageDescriptor = input_descriptor(definition);
    let structure = wanted
        .parent_pool()
        .get_message_by_name("google.protobuf.Struct");
    let structure = structure.ok_or_else(|| Error::corrupt("the contract has no Struct"))?;
    let message = saga::decode(&structure, &encoded).map_err(Error::corrupt)?;
    if wanted == structure {
        return Ok(message);
    }
    let invalid = |error: serde_json::Error| Error::invalid("input", error.to_string());
    let json = serde_json::to_value(&message).map_err(invalid)?;
    DynamicMessage::deserialize(wanted, json).map_err(invalid)
}

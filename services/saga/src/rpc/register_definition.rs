//! A definition is checked whole, then kept as a version.

use chassis::Call;
use contracts::caravan::saga::v1::{self as pb, register_definition_request::Content};
use prost::Message as _;
use saga_definition::{places::Places, source};

use super::Rpc;
use crate::{domain::definition::MAX_DEFINITION_BYTES, error::Error};

pub(super) async fn handle(
    rpc: &Rpc,
    _call: Call,
    request: pb::RegisterDefinitionRequest,
) -> Result<pb::RegisterDefinitionResponse, Error> {
    let (definition, text) = match request.content {
        Some(Content::Definition(definition)) => (definition, None),
        Some(Content::Source(text)) => {
            let read = source::read(&text);
            let definition = read.map_err(|fault| Error::invalid("source", fault.to_string()))?;
            (definition, Some(text))
        }
        None => return Err(Error::invalid("content", "is missing")),
    };
    if definition.encoded_len() > MAX_DEFINITION_BYTES {
        return Err(Error::invalid(
            "definition",
            format!("has at most {MAX_DEFINITION_BYTES} bytes"),
        ));
    }
    let name = definition.name.clone();
    chassis::audit::target(&name);
    let registered = rpc.engine.registry().register(definition).await;
    let version = registered.map_err(|error| match (error, text) {
        (Error::Definition(mut faults), Some(text)) => {
            let places = Places::of(&text);
            faults.iter_mut().for_each(|fault| fault.locate(&places));
            Error::Definition(faults)
        }
        (error, _) => error,
    })?;
    Ok(pb::RegisterDefinitionResponse { name, version })
}

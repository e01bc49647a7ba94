//! A definition is checked whole, then kept as a version.

use chassis::Call;
use contracts::caravan::saga::v1::{self as pb, register_definition_request::Content};
use prost::Message as _;
use saga_definition::source;

use super::Rpc;
use crate::{domain::definition::MAX_DEFINITION_BYTES, error::Error};

pub(super) async fn handle(
    rpc: &Rpc,
    _call: Call,
    request: pb::RegisterDefinitionRequest,
) -> Result<pb::RegisterDefinitionResponse, Error> {
    let definition = match request.content {
        Some(Content::Definition(definition)) => definition,
        Some(Content::Source(text)) if text.len() > MAX_DEFINITION_BYTES => {
            return Err(Error::invalid(
                "source",
                format!("has at most {MAX_DEFINITION_BYTES} bytes"),
            ));
        }
        Some(Content::Source(text)) => {
            source::read(&text).map_err(|fault| Error::invalid("source", fault))?
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
    let version = rpc.engine.registry().register(definition).await?;
    Ok(pb::RegisterDefinitionResponse { name, version })
}

//! One version of a definition.

use chassis::Call;
use contracts::caravan::saga::v1 as pb;

use super::Rpc;
use crate::{error::Error, store};

pub(super) async fn handle(
    rpc: &Rpc,
    _call: Call,
    request: pb::GetDefinitionRequest,
) -> Result<pb::GetDefinitionResponse, Error> {
    let read = rpc.engine.db().read();
    let stored = match request.version {
        0 => store::definitions::newest(read, &request.name).await?,
        version => store::definitions::find(read, &request.name, version).await?,
    };
    let stored = stored.ok_or(Error::NoDefinition(request.name))?;
    Ok(pb::GetDefinitionResponse {
        definition: Some(stored.definition),
        version: stored.version,
    })
}

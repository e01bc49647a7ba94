//! The newest version of every definition.

use chassis::Call;
use contracts::caravan::saga::v1 as pb;

use super::Rpc;
use crate::{error::Error, store};

pub(super) async fn handle(
    rpc: &Rpc,
    _call: Call,
    _request: pb::ListDefinitionsRequest,
) -> Result<pb::ListDefinitionsResponse, Error> {
    let read = rpc.engine.db().read();
    let mut definitions = Vec::new();
    for (name, version) in store::definitions::all_newest(read).await? {
        if let Some(stored) = store::definitions::find(read, &name, version).await? {
            definitions.push(pb::RegisteredDefinition {
                definition: Some(stored.definition),
                version,
            });
        }
    }
    Ok(pb::ListDefinitionsResponse { definitions })
}

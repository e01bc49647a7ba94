//! Makes a new key.

use chassis::{Call, audit};
use contracts::caravan::identity::v1 as pb;

use super::Keys;
use crate::{error::Error, tokens::NewKey};

pub(super) async fn handle(
    rpc: &Keys,
    call: Call,
    request: pb::RotateSigningKeysRequest,
) -> Result<pb::RotateSigningKeysResponse, Error> {
    let (tokens, key) = (&rpc.tokens, &NewKey::generate()?);
    audit::target(&key.id);
    rpc.db
        .write(|tx| async move { tokens.rotate(&tx, key.clone(), request.compromised).await })
        .await?;
    rpc.tokens.reload(&rpc.db).await?;
    let (actor, compromised) = (call.caller.label(), request.compromised);
    tracing::info!(actor, compromised, "signing keys rotated");
    Ok(pb::RotateSigningKeysResponse {
        signing_keys: rpc.tokens.published_keys(),
    })
}

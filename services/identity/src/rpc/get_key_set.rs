//! The public keys that access tokens are checked with.

use chassis::Call;
use contracts::caravan::identity::v1 as pb;

use super::Rpc;
use crate::error::Error;

pub(super) async fn handle(
    rpc: &Rpc,
    _call: Call,
    _request: pb::GetKeySetRequest,
) -> Result<pb::GetKeySetResponse, Error> {
    Ok(pb::GetKeySetResponse {
        keys: rpc.tokens.public_keys(),
    })
}

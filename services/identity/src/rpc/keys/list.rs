//! Every key that is published, newest first.

use chassis::Call;
use contracts::caravan::identity::v1 as pb;

use super::Keys;
use crate::error::Error;

pub(super) async fn handle(
    rpc: &Keys,
    _call: Call,
    _request: pb::ListSigningKeysRequest,
) -> Result<pb::ListSigningKeysResponse, Error> {
    Ok(pb::ListSigningKeysResponse {
        signing_keys: rpc.tokens.published_keys(),
    })
}

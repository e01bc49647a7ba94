//! Tells which access tokens count no more though they have not ended.

use chassis::Call;
use contracts::caravan::identity::v1 as pb;
use futures::{Stream, StreamExt as _};

use super::Rpc;
use crate::error::Error;

pub(super) async fn handle(
    rpc: &Rpc,
    _call: Call,
    _request: pb::WatchRevocationsRequest,
) -> Result<impl Stream<Item = Result<pb::WatchRevocationsResponse, Error>> + Send + use<>, Error> {
    let told = rpc.tokens.revocations().told();
    Ok(told.map(|revocations| Ok(pb::WatchRevocationsResponse { revocations })))
}

//! Whether the caller has a second factor.

use chassis::{Call, clock};
use contracts::caravan::identity::v1 as pb;

use super::Rpc;
use crate::{error::Error, store};

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    _request: pb::GetSecondFactorRequest,
) -> Result<pb::GetSecondFactorResponse, Error> {
    let id = call.caller.user_id().ok_or(Error::NoPerson)?;
    let factor = store::second_factors::find(rpc.db.read(), id).await?;
    let enabled = factor.and_then(|factor| factor.enabled);
    let left = store::second_factors::recovery_codes(rpc.db.read(), id).await?;
    Ok(pb::GetSecondFactorResponse {
        second_factor: Some(pb::SecondFactor {
            enabled: enabled.is_some(),
            enable_time: enabled.map(clock::timestamp),
            recovery_codes_left: i32::try_from(left).unwrap_or(i32::MAX),
        }),
    })
}

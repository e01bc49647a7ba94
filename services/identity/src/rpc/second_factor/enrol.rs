//! Makes the secret for the caller's authenticator app. It counts once it is confirmed.

use aws_lc_rs::rand;
use chassis::Call;
use contracts::caravan::identity::v1 as pb;

use super::{Rpc, who_knows_the_password};
use crate::{
    domain::second_factor::SecondFactor,
    error::Error,
    second_factor::totp::{self, SECRET_BYTES},
    store,
};

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    request: pb::EnrolSecondFactorRequest,
) -> Result<pb::EnrolSecondFactorResponse, Error> {
    let account = who_knows_the_password(rpc, &call, request.password).await?;
    let id = account.parts().id;
    let mut secret = [0; SECRET_BYTES];
    rand::fill(&mut secret)?;
    let factor = &SecondFactor::enrol(id, rpc.seal.seal(id, &secret)?);
    let enrolled = rpc
        .db
        .write(|tx| async move { Ok::<_, Error>(store::second_factors::enrol(&tx, factor).await?) })
        .await?;
    if !enrolled {
        return Err(Error::HasSecondFactor);
    }
    Ok(pb::EnrolSecondFactorResponse {
        secret: totp::text(&secret),
        otpauth_uri: totp::uri(&secret, account.parts().email.as_str()),
    })
}

//! Takes the caller's second factor away: the password alone logs in again.

use chassis::Call;
use contracts::caravan::identity::v1::{self as pb, disable_second_factor_request as request};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    Rpc, again, enabled,
    proof::{self, Checked, Proof},
    who_knows_the_password,
};
use crate::{
    domain::{
        audit::{Action, Entry},
        mail::Kind,
    },
    error::Error,
    rpc::send_mail,
    store,
};

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    request: pb::DisableSecondFactorRequest,
) -> Result<pb::DisableSecondFactorResponse, Error> {
    let proof = &match request.proof {
        Some(request::Proof::Code(code)) => Proof::Code(code.into()),
        Some(request::Proof::RecoveryCode(code)) => Proof::RecoveryCode(code.into()),
        None => return Err(Error::invalid("code", "is missing")),
    };
    let account = who_knows_the_password(rpc, &call, request.password).await?;
    let id = account.parts().id;
    again(|now| attempt(rpc, id, proof, now)).await?.settled()?;
    Ok(pb::DisableSecondFactorResponse {})
}

async fn attempt(
    rpc: &Rpc,
    id: Uuid,
    proof: &Proof,
    now: OffsetDateTime,
) -> Result<Checked, Error> {
    rpc.db
        .write(|tx| async move {
            let mut factor = enabled(&tx, id).await?;
            let checked = proof::check(&tx, &rpc.seal, &mut factor, proof, now).await?;
            if let Checked::Right = checked {
                store::second_factors::forget(&tx, id).await?;
                store::challenges::forget(&tx, id).await?;
                let entry = Entry::by_owner(Action::SecondFactorDisabled, id);
                store::audit::append(&tx, entry).await?;
                send_mail::tell(&tx, id, Kind::SecondFactorDisabled).await?;
            }
            Ok::<_, Error>(checked)
        })
        .await
}

//! The person has shown that the app has the secret: logins need a code from now on.

use chassis::Call;
use contracts::caravan::identity::v1 as pb;
use secrecy::SecretString;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    Rpc, again,
    proof::{self, Checked, Proof},
    put_codes,
};
use crate::{
    domain::{
        audit::{Action, Entry},
        mail::Kind,
    },
    error::Error,
    rpc::send_mail,
    second_factor::recovery,
    store,
};

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    request: pb::ConfirmSecondFactorRequest,
) -> Result<pb::ConfirmSecondFactorResponse, Error> {
    let id = call.caller.user_id().ok_or(Error::NoPerson)?;
    let proof = &Proof::Code(SecretString::from(request.code));
    let codes = &recovery::new()?;
    again(|now| attempt(rpc, id, (proof, codes), now))
        .await?
        .settled()?;
    Ok(pb::ConfirmSecondFactorResponse {
        recovery_codes: codes.clone(),
    })
}

async fn attempt(
    rpc: &Rpc,
    id: Uuid,
    (proof, codes): (&Proof, &[String]),
    now: OffsetDateTime,
) -> Result<Checked, Error> {
    rpc.db
        .write(|tx| async move {
            let factor = store::second_factors::find(&tx, id).await?;
            let mut factor = factor.ok_or(Error::NoSecondFactor)?;
            if factor.enabled.is_some() {
                return Err(Error::HasSecondFactor);
            }
            let checked = proof::check(&tx, &rpc.seal, &mut factor, proof, now).await?;
            if let Checked::Right = checked {
                factor.enable(now);
                store::second_factors::save(&tx, &factor).await?;
                put_codes(&tx, id, codes).await?;
                let entry = Entry::by_owner(Action::SecondFactorEnabled, id);
                store::audit::append(&tx, entry).await?;
                send_mail::tell(&tx, id, Kind::SecondFactorEnabled).await?;
            }
            Ok(checked)
        })
        .await
}

//! Makes new recovery codes; the old ones are good for nothing any more.

use chassis::Call;
use contracts::caravan::identity::v1 as pb;
use secrecy::SecretString;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    Rpc, again, enabled,
    proof::{self, Checked, Proof},
    put_codes, who_knows_the_password,
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
    request: pb::RegenerateRecoveryCodesRequest,
) -> Result<pb::RegenerateRecoveryCodesResponse, Error> {
    let account = who_knows_the_password(rpc, &call, request.password).await?;
    let id = account.parts().id;
    let proof = &Proof::Code(SecretString::from(request.code));
    let codes = &recovery::new()?;
    again(|now| attempt(rpc, id, (proof, codes), now))
        .await?
        .settled()?;
    Ok(pb::RegenerateRecoveryCodesResponse {
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
            let mut factor = enabled(&tx, id).await?;
            let checked = proof::check(&tx, &rpc.seal, &mut factor, proof, now).await?;
            if let Checked::Right = checked {
                put_codes(&tx, id, codes).await?;
                let entry = Entry::by_owner(Action::RecoveryCodesMade, id);
                store::audit::append(&tx, entry).await?;
                send_mail::tell(&tx, id, Kind::RecoveryCodesChanged).await?;
            }
            Ok::<_, Error>(checked)
        })
        .await
}

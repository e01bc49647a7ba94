//! Sends the mail that verifies the caller's address once more.

use chassis::Call;
use contracts::caravan::identity::v1 as pb;

use super::{Rpc, my_account, send_mail};
use crate::{domain::mail::Kind, error::Error};

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    _request: pb::RequestEmailVerificationRequest,
) -> Result<pb::RequestEmailVerificationResponse, Error> {
    let account = my_account(rpc, &call).await?;
    if !account.parts().email_verified {
        let mail = &send_mail::new(Some(account.parts().id), Kind::EmailVerification)?;
        rpc.db
            .write(|tx| async move { send_mail::send(&tx, mail).await })
            .await?;
    }
    Ok(pb::RequestEmailVerificationResponse {})
}

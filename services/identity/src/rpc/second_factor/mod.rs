//! The rpcs of second factors: each method delegates to its file.

use chassis::{Call, db::Tx};
use contracts::caravan::identity::v1::{
    self as pb, second_factor_service_server::SecondFactorService,
};
use secrecy::SecretString;
use time::OffsetDateTime;
use tonic::{Request, Response, Status, async_trait};
use uuid::Uuid;

use super::{Rpc, authenticate::authenticate, my_account};
use crate::{domain::second_factor::SecondFactor, error::Error, second_factor::recovery, store};

pub(super) mod challenge;
mod confirm;
mod disable;
mod enrol;
mod get;
mod proof;
mod regenerate_recovery_codes;
mod reset;
mod verify;

/// Tries where two come at the same moment: one is first, the other one sees what it did.
const MAX_TRIES: usize = 3;

/// The caller's account, once the password is right.
async fn who_knows_the_password(
    rpc: &Rpc,
    call: &Call,
    password: String,
) -> Result<crate::domain::account::Account, Error> {
    let account = my_account(rpc, call).await?;
    authenticate(rpc, &account.parts().email, SecretString::from(password)).await
}

/// An account's second factor, where logins need a code.
async fn enabled(tx: &Tx, account: Uuid) -> Result<SecondFactor, Error> {
    store::second_factors::find(tx, account)
        .await?
        .filter(|factor| factor.enabled.is_some())
        .ok_or(Error::NoSecondFactor)
}

/// New recovery codes in the place of all earlier ones.
async fn put_codes(tx: &Tx, account: Uuid, codes: &[String]) -> Result<(), Error> {
    let hashes = codes.iter().map(|code| recovery::hash(account, code));
    Ok(store::second_factors::put_recovery_codes(tx, account, hashes.collect()).await?)
}

/// Runs a unit of work again that lost a race.
async fn again<T, Fut>(mut unit: impl FnMut(OffsetDateTime) -> Fut) -> Result<T, Error>
where
    Fut: Future<Output = Result<T, Error>>,
{
    let mut tries = 1;
    loop {
        match unit(chassis::clock::now()).await {
            Err(Error::Store(chassis::db::Error::Conflict)) if tries < MAX_TRIES => tries += 1,
            done => return done,
        }
    }
}

#[async_trait]
impl SecondFactorService for Rpc {
    async fn verify_second_factor(
        &self,
        request: Request<pb::VerifySecondFactorRequest>,
    ) -> Result<Response<pb::VerifySecondFactorResponse>, Status> {
        chassis::rpc::unary(request, |call, message| verify::handle(self, call, message)).await
    }

    async fn get_second_factor(
        &self,
        request: Request<pb::GetSecondFactorRequest>,
    ) -> Result<Response<pb::GetSecondFactorResponse>, Status> {
        chassis::rpc::unary(request, |call, message| get::handle(self, call, message)).await
    }

    async fn enrol_second_factor(
        &self,
        request: Request<pb::EnrolSecondFactorRequest>,
    ) -> Result<Response<pb::EnrolSecondFactorResponse>, Status> {
        chassis::rpc::unary(request, |call, message| enrol::handle(self, call, message)).await
    }

    async fn confirm_second_factor(
        &self,
        request: Request<pb::ConfirmSecondFactorRequest>,
    ) -> Result<Response<pb::ConfirmSecondFactorResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            confirm::handle(self, call, message)
        })
        .await
    }

    async fn regenerate_recovery_codes(
        &self,
        request: Request<pb::RegenerateRecoveryCodesRequest>,
    ) -> Result<Response<pb::RegenerateRecoveryCodesResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            regenerate_recovery_codes::handle(self, call, message)
        })
        .await
    }

    async fn disable_second_factor(
        &self,
        request: Request<pb::DisableSecondFactorRequest>,
    ) -> Result<Response<pb::DisableSecondFactorResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            disable::handle(self, call, message)
        })
        .await
    }

    async fn reset_second_factor(
        &self,
        request: Request<pb::ResetSecondFactorRequest>,
    ) -> Result<Response<pb::ResetSecondFactorResponse>, Status> {
        chassis::rpc::unary(request, |call, message| reset::handle(self, call, message)).await
    }
}

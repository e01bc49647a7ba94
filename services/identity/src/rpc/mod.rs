//! The rpcs: each method delegates to its file.

use std::sync::{Arc, Mutex};

use chassis::db::Db;
use contracts::caravan::identity::v1::{self as pb, identity_service_server::IdentityService};
use tonic::{Request, Response, Status, async_trait};

use crate::{
    domain::throttle::Throttle, passwords::Passwords, service_clients::ServiceClients,
    tokens::Tokens,
};

mod batch_get_accounts;
pub(crate) mod convert;
mod create_session;
mod deactivate_account;
mod get_account;
mod get_key_set;
mod get_my_account;
mod issue_service_token;
mod reactivate_account;
mod register_account;
mod set_state;

/// What the handlers work with.
#[derive(Clone)]
pub struct Rpc {
    pub(crate) db: Db,
    pub(crate) passwords: Passwords,
    tokens: Tokens,
    service_clients: Arc<ServiceClients>,
    throttle: Arc<Mutex<Throttle>>,
}

impl Rpc {
    /// The rpcs over this database; passwords are hashed `hashes_at_once` at a time.
    pub fn new(
        db: Db,
        tokens: Tokens,
        service_clients: ServiceClients,
        hashes_at_once: u16,
    ) -> Self {
        Self {
            db,
            passwords: Passwords::new(hashes_at_once),
            tokens,
            service_clients: Arc::new(service_clients),
            throttle: Arc::default(),
        }
    }
}

#[async_trait]
impl IdentityService for Rpc {
    async fn register_account(
        &self,
        request: Request<pb::RegisterAccountRequest>,
    ) -> Result<Response<pb::RegisterAccountResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            register_account::handle(self, call, message)
        })
        .await
    }

    async fn create_session(
        &self,
        request: Request<pb::CreateSessionRequest>,
    ) -> Result<Response<pb::CreateSessionResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            create_session::handle(self, call, message)
        })
        .await
    }

    async fn get_my_account(
        &self,
        request: Request<pb::GetMyAccountRequest>,
    ) -> Result<Response<pb::GetMyAccountResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            get_my_account::handle(self, call, message)
        })
        .await
    }

    async fn get_account(
        &self,
        request: Request<pb::GetAccountRequest>,
    ) -> Result<Response<pb::GetAccountResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            get_account::handle(self, call, message)
        })
        .await
    }

    async fn batch_get_accounts(
        &self,
        request: Request<pb::BatchGetAccountsRequest>,
    ) -> Result<Response<pb::BatchGetAccountsResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            batch_get_accounts::handle(self, call, message)
        })
        .await
    }

    async fn deactivate_account(
        &self,
        request: Request<pb::DeactivateAccountRequest>,
    ) -> Result<Response<pb::DeactivateAccountResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            deactivate_account::handle(self, call, message)
        })
        .await
    }

    async fn reactivate_account(
        &self,
        request: Request<pb::ReactivateAccountRequest>,
    ) -> Result<Response<pb::ReactivateAccountResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            reactivate_account::handle(self, call, message)
        })
        .await
    }

    async fn issue_service_token(
        &self,
        request: Request<pb::IssueServiceTokenRequest>,
    ) -> Result<Response<pb::IssueServiceTokenResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            issue_service_token::handle(self, call, message)
        })
        .await
    }

    async fn get_key_set(
        &self,
        request: Request<pb::GetKeySetRequest>,
    ) -> Result<Response<pb::GetKeySetResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            get_key_set::handle(self, call, message)
        })
        .await
    }
}

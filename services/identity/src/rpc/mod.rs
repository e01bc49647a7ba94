//! The rpcs: each method delegates to its file.

use std::sync::Arc;

use chassis::{Call, db::Db};
use contracts::caravan::identity::v1::{
    self as pb, audit_service_server::AuditService, identity_service_server::IdentityService,
};
use futures::stream::BoxStream;
use time::OffsetDateTime;
use tonic::{Request, Response, Status, async_trait};

use crate::{
    domain::{account::Account, session::Session},
    error::Error,
    passwords::Passwords,
    second_factor::seal::Seal,
    service_clients::ServiceClients,
    store,
    tokens::{Tokens, refresh},
};

mod authenticate;
mod batch_get_accounts;
mod change_password;
pub mod clients;
mod close_my_account;
mod convert;
mod create_session;
mod deactivate_account;
mod delete_session;
mod end_all_sessions;
mod end_session;
mod get_account;
mod get_key_set;
mod get_my_account;
mod issue_service_token;
pub mod keys;
mod list_audit_entries;
mod list_pending_mails;
mod list_sessions;
pub mod oauth;
mod reactivate_account;
mod refresh_session;
mod register_account;
mod request_email_verification;
mod request_password_reset;
mod reset_password;
mod second_factor;
mod send_mail;
mod set_account_roles;
mod set_state;
mod throttled;
mod update_my_account;
mod verify_email;
mod watch_revocations;

/// What the handlers work with.
#[derive(Clone)]
pub struct Rpc {
    pub(crate) db: Db,
    pub(crate) passwords: Passwords,
    tokens: Tokens,
    service_clients: Arc<ServiceClients>,
    seal: Seal,
}

impl Rpc {
    /// The rpcs over this database; passwords are hashed `hashes_at_once` at a time, secrets of second factors sealed.
    pub fn new(
        db: Db,
        tokens: Tokens,
        service_clients: ServiceClients,
        (hashes_at_once, seal): (u16, Seal),
    ) -> Self {
        Self {
            db,
            passwords: Passwords::new(hashes_at_once),
            tokens,
            service_clients: Arc::new(service_clients),
            seal,
        }
    }

    /// What a session gives out now: an access token, and the refresh token for the next one.
    fn tokens_of(
        &self,
        session: &Session,
        account: &Account,
        now: OffsetDateTime,
    ) -> Result<pb::Session, Error> {
        let access = self.tokens.for_account(account, session.id, now)?;
        let left_s = (session.ends() - now).whole_seconds();
        Ok(pb::Session {
            access_token: access.text,
            token_type: "Bearer".to_owned(),
            expires_in: access.expires_in_s,
            account_id: account.parts().id.to_string(),
            refresh_token: refresh::newest(session),
            refresh_expires_in: i32::try_from(left_s).unwrap_or(i32::MAX),
            session_id: session.id.to_string(),
            second_factor_challenge: None,
        })
    }
}

/// The account of the person who calls.
async fn my_account(rpc: &Rpc, call: &Call) -> Result<Account, Error> {
    let id = call.caller.user_id().ok_or(Error::NoPerson)?;
    store::accounts::find(rpc.db.read(), id)
        .await?
        .ok_or(Error::NotFound(id))
}

#[async_trait]
impl IdentityService for Rpc {
    type WatchRevocationsStream = BoxStream<'static, Result<pb::WatchRevocationsResponse, Status>>;

    async fn watch_revocations(
        &self,
        request: Request<pb::WatchRevocationsRequest>,
    ) -> Result<Response<Self::WatchRevocationsStream>, Status> {
        chassis::rpc::server_stream(request, |call, message| {
            watch_revocations::handle(self, call, message)
        })
        .await
    }

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

    async fn refresh_session(
        &self,
        request: Request<pb::RefreshSessionRequest>,
    ) -> Result<Response<pb::RefreshSessionResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            refresh_session::handle(self, call, message)
        })
        .await
    }

    async fn end_session(
        &self,
        request: Request<pb::EndSessionRequest>,
    ) -> Result<Response<pb::EndSessionResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            end_session::handle(self, call, message)
        })
        .await
    }

    async fn list_sessions(
        &self,
        request: Request<pb::ListSessionsRequest>,
    ) -> Result<Response<pb::ListSessionsResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            list_sessions::handle(self, call, message)
        })
        .await
    }

    async fn delete_session(
        &self,
        request: Request<pb::DeleteSessionRequest>,
    ) -> Result<Response<pb::DeleteSessionResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            delete_session::handle(self, call, message)
        })
        .await
    }

    async fn end_all_sessions(
        &self,
        request: Request<pb::EndAllSessionsRequest>,
    ) -> Result<Response<pb::EndAllSessionsResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            end_all_sessions::handle(self, call, message)
        })
        .await
    }

    async fn change_password(
        &self,
        request: Request<pb::ChangePasswordRequest>,
    ) -> Result<Response<pb::ChangePasswordResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            change_password::handle(self, call, message)
        })
        .await
    }

    async fn request_password_reset(
        &self,
        request: Request<pb::RequestPasswordResetRequest>,
    ) -> Result<Response<pb::RequestPasswordResetResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            request_password_reset::handle(self, call, message)
        })
        .await
    }

    async fn reset_password(
        &self,
        request: Request<pb::ResetPasswordRequest>,
    ) -> Result<Response<pb::ResetPasswordResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            reset_password::handle(self, call, message)
        })
        .await
    }

    async fn request_email_verification(
        &self,
        request: Request<pb::RequestEmailVerificationRequest>,
    ) -> Result<Response<pb::RequestEmailVerificationResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            request_email_verification::handle(self, call, message)
        })
        .await
    }

    async fn verify_email(
        &self,
        request: Request<pb::VerifyEmailRequest>,
    ) -> Result<Response<pb::VerifyEmailResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            verify_email::handle(self, call, message)
        })
        .await
    }

    async fn list_pending_mails(
        &self,
        request: Request<pb::ListPendingMailsRequest>,
    ) -> Result<Response<pb::ListPendingMailsResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            list_pending_mails::handle(self, call, message)
        })
        .await
    }

    async fn update_my_account(
        &self,
        request: Request<pb::UpdateMyAccountRequest>,
    ) -> Result<Response<pb::UpdateMyAccountResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            update_my_account::handle(self, call, message)
        })
        .await
    }

    async fn close_my_account(
        &self,
        request: Request<pb::CloseMyAccountRequest>,
    ) -> Result<Response<pb::CloseMyAccountResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            close_my_account::handle(self, call, message)
        })
        .await
    }

    async fn set_account_roles(
        &self,
        request: Request<pb::SetAccountRolesRequest>,
    ) -> Result<Response<pb::SetAccountRolesResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            set_account_roles::handle(self, call, message)
        })
        .await
    }
}

#[async_trait]
impl AuditService for Rpc {
    async fn list_audit_entries(
        &self,
        request: Request<pb::ListAuditEntriesRequest>,
    ) -> Result<Response<pb::ListAuditEntriesResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            list_audit_entries::handle(self, call, message)
        })
        .await
    }
}

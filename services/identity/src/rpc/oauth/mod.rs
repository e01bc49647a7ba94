//! The rpcs of OAuth 2.0: tokens for service clients, and what others ask about tokens.

use std::sync::Arc;

use chassis::db::Db;
use contracts::caravan::identity::v1::{self as pb, o_auth_service_server::OAuthService};
use tonic::{Request, Response, Status, async_trait};

use super::Rpc;
use crate::{service_clients::ServiceClients, tokens::Tokens};

mod asker;
mod credentials;
mod error;
mod introspect_token;
mod issue_token;
mod revoke_token;
mod server_metadata;

use credentials::Authorization;
pub use error::OAuthError;

/// What the handlers work with.
#[derive(Clone)]
pub struct OAuth {
    db: Db,
    tokens: Tokens,
    /// Services of the mesh by configuration.
    services: Arc<ServiceClients>,
    /// Where clients reach the gateway.
    public_url: Option<Arc<str>>,
}

impl OAuth {
    /// The rpcs beside those of accounts. `public_url` is where clients reach the gateway.
    pub fn new(rpc: &Rpc, public_url: Option<&str>) -> Self {
        Self {
            db: rpc.db.clone(),
            tokens: rpc.tokens.clone(),
            services: rpc.service_clients.clone(),
            public_url: public_url.map(|url| url.trim_end_matches('/').into()),
        }
    }
}

#[async_trait]
impl OAuthService for OAuth {
    async fn issue_token(
        &self,
        request: Request<pb::IssueTokenRequest>,
    ) -> Result<Response<pb::IssueTokenResponse>, Status> {
        let shown = Authorization::of(request.metadata());
        chassis::rpc::unary(request, |_, message| {
            issue_token::handle(self, shown, message)
        })
        .await
    }

    async fn introspect_token(
        &self,
        request: Request<pb::IntrospectTokenRequest>,
    ) -> Result<Response<pb::IntrospectTokenResponse>, Status> {
        let shown = Authorization::of(request.metadata());
        chassis::rpc::unary(request, |call, message| {
            introspect_token::handle(self, call, shown, message)
        })
        .await
    }

    async fn revoke_token(
        &self,
        request: Request<pb::RevokeTokenRequest>,
    ) -> Result<Response<pb::RevokeTokenResponse>, Status> {
        let shown = Authorization::of(request.metadata());
        chassis::rpc::unary(request, |call, message| {
            revoke_token::handle(self, call, shown, message)
        })
        .await
    }

    async fn get_server_metadata(
        &self,
        request: Request<pb::GetServerMetadataRequest>,
    ) -> Result<Response<pb::GetServerMetadataResponse>, Status> {
        chassis::rpc::unary(request, |_, _: pb::GetServerMetadataRequest| async {
            server_metadata::handle(self)
        })
        .await
    }
}

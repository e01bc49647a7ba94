//! Identity with clients: who makes them, and what they ask for.

use alone::{Client, Engine, reason};
use chassis::auth::Claims;
use contracts::caravan::identity::v1::{
    self as pb, client_service_client::ClientServiceClient,
    o_auth_service_client::OAuthServiceClient,
};
use tonic::{Code, Status};

use super::{ADMIN, PASSWORD, World};

/// Identity with an admin who makes clients.
pub(crate) struct Office {
    pub(crate) world: World,
    pub(crate) admin: String,
}

impl Office {
    pub(crate) async fn open(engine: Engine) -> Option<Self> {
        let world = World::start(engine).await?;
        let session = world.log_in(ADMIN, PASSWORD).await.expect("made at boot");
        let admin = session.access_token;
        Some(Self { world, admin })
    }

    pub(crate) fn clients(&self) -> ClientServiceClient<Client> {
        ClientServiceClient::new(self.world.service.with_token(&self.admin))
    }

    pub(crate) async fn create(&self, id: &str, scopes: &[&str]) -> Result<String, Status> {
        let request = pb::CreateClientRequest {
            client_id: id.into(),
            description: "a test's".into(),
            scopes: scopes.iter().map(ToString::to_string).collect(),
        };
        let answer = self.clients().create_client(request).await?.into_inner();
        Ok(answer.client_secret)
    }

    pub(crate) fn oauth(&self) -> OAuthServiceClient<Client> {
        OAuthServiceClient::new(self.world.service.anonymous())
    }

    pub(crate) fn oauth_as(&self, token: &str) -> OAuthServiceClient<Client> {
        OAuthServiceClient::new(self.world.service.with_token(token))
    }

    pub(crate) async fn token(
        &self,
        id: &str,
        secret: &str,
        scope: &str,
    ) -> Result<String, Status> {
        let request = request(id, secret, scope);
        let answer = self.oauth().issue_token(request).await?.into_inner();
        assert_eq!(answer.token_type, "Bearer");
        Ok(answer.access_token)
    }

    pub(crate) async fn introspect(
        &self,
        id: &str,
        secret: &str,
        token: &str,
    ) -> pb::IntrospectTokenResponse {
        let request = pb::IntrospectTokenRequest {
            token: token.into(),
            client_id: id.into(),
            client_secret: secret.into(),
            ..Default::default()
        };
        let answer = self.oauth().introspect_token(request).await;
        answer.expect("a client").into_inner()
    }

    pub(crate) async fn revoke(&self, id: &str, secret: &str, token: &str) -> Result<(), Status> {
        let request = pb::RevokeTokenRequest {
            token: token.into(),
            client_id: id.into(),
            client_secret: secret.into(),
            ..Default::default()
        };
        self.oauth().revoke_token(request).await.map(drop)
    }
}

pub(crate) fn request(id: &str, secret: &str, scope: &str) -> pb::IssueTokenRequest {
    pb::IssueTokenRequest {
        grant_type: "client_credentials".into(),
        client_id: id.into(),
        client_secret: secret.into(),
        scope: scope.into(),
    }
}

pub(crate) fn refused<T: std::fmt::Debug>(outcome: Result<T, Status>) -> (Code, String) {
    let refusal = outcome.expect_err("refused");
    (refusal.code(), reason(&refusal))
}

pub(crate) fn invalid_client() -> (Code, String) {
    (Code::Unauthenticated, "INVALID_CLIENT".into())
}

pub(crate) fn claims(token: &str) -> Claims {
    jsonwebtoken::dangerous::insecure_decode(token)
        .expect("a token of ours")
        .claims
}

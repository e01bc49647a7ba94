//! An identity service of the test's own: it signs what it is asked to.

use std::sync::Arc;

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chassis::auth::{AUDIENCE, Claims, TOKEN_TYPE, TokenKind};
use contracts::caravan::identity::v1::{
    self as pb,
    identity_service_server::{IdentityService, IdentityServiceServer},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header, get_current_timestamp};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, async_trait, transport::Server};
use uuid::Uuid;

/// The id of the one key.
const KEY_ID: &str = "test";
/// How long its tokens are good.
const LIFETIME_S: i32 = 3600;

/// A running identity service. Ends with the value.
#[derive(Debug)]
pub(crate) struct Identity {
    url: String,
    signer: Signer,
    server: JoinHandle<()>,
}

#[derive(Clone)]
struct Signer {
    private: Arc<EncodingKey>,
    public: pb::JsonWebKey,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Signer")
    }
}

impl Identity {
    pub(crate) async fn start() -> Self {
        let signer = Signer::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let service = IdentityServiceServer::new(signer.clone());
        let server = Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpListenerStream::new(listener));
        let server = tokio::spawn(async move { server.await.expect("serves until it is dropped") });
        Self {
            url,
            signer,
            server,
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// A token of a person with these roles.
    pub(crate) fn user(&self, id: Uuid, roles: &[&str]) -> String {
        self.signer.sign(
            TokenKind::User,
            id.to_string(),
            roles.iter().map(ToString::to_string).collect(),
        )
    }

    /// A token of a service.
    pub(crate) fn service(&self, name: &str) -> String {
        self.signer
            .sign(TokenKind::Service, name.to_owned(), Vec::new())
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Signer {
    fn new() -> Self {
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
                .expect("the system has randomness");
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref())
            .expect("just made");
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        let public = pb::JsonWebKey {
            kty: "EC".to_owned(),
            crv: "P-256".to_owned(),
            x: URL_SAFE_NO_PAD.encode(x),
            y: URL_SAFE_NO_PAD.encode(y),
            kid: KEY_ID.to_owned(),
            r#use: "sig".to_owned(),
            alg: "ES256".to_owned(),
        };
        Self {
            private: Arc::new(EncodingKey::from_ec_der(pkcs8.as_ref())),
            public,
        }
    }

    fn sign(&self, kind: TokenKind, sub: String, roles: Vec<String>) -> String {
        let now = get_current_timestamp();
        let claims = Claims {
            iss: "caravan".to_owned(),
            aud: AUDIENCE.to_owned(),
            sub,
            exp: now + LIFETIME_S.unsigned_abs() as u64,
            nbf: now,
            iat: now,
            jti: Uuid::now_v7().to_string(),
            kind,
            roles,
        };
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some(TOKEN_TYPE.to_owned());
        header.kid = Some(KEY_ID.to_owned());
        jsonwebtoken::encode(&header, &claims, &self.private).expect("the key signs")
    }
}

/// What services ask identity for; people are the test's business.
#[async_trait]
impl IdentityService for Signer {
    async fn get_key_set(
        &self,
        _: Request<pb::GetKeySetRequest>,
    ) -> Result<Response<pb::GetKeySetResponse>, Status> {
        Ok(Response::new(pb::GetKeySetResponse {
            keys: vec![self.public.clone()],
        }))
    }

    async fn issue_service_token(
        &self,
        request: Request<pb::IssueServiceTokenRequest>,
    ) -> Result<Response<pb::IssueServiceTokenResponse>, Status> {
        let access_token = self.sign(
            TokenKind::Service,
            request.into_inner().client_id,
            Vec::new(),
        );
        Ok(Response::new(pb::IssueServiceTokenResponse {
            access_token,
            expires_in: LIFETIME_S,
        }))
    }

    async fn register_account(
        &self,
        _: Request<pb::RegisterAccountRequest>,
    ) -> Result<Response<pb::RegisterAccountResponse>, Status> {
        Err(Status::unimplemented("not in tests"))
    }

    async fn create_session(
        &self,
        _: Request<pb::CreateSessionRequest>,
    ) -> Result<Response<pb::CreateSessionResponse>, Status> {
        Err(Status::unimplemented("not in tests"))
    }

    async fn get_my_account(
        &self,
        _: Request<pb::GetMyAccountRequest>,
    ) -> Result<Response<pb::GetMyAccountResponse>, Status> {
        Err(Status::unimplemented("not in tests"))
    }

    async fn get_account(
        &self,
        _: Request<pb::GetAccountRequest>,
    ) -> Result<Response<pb::GetAccountResponse>, Status> {
        Err(Status::unimplemented("not in tests"))
    }

    async fn batch_get_accounts(
        &self,
        _: Request<pb::BatchGetAccountsRequest>,
    ) -> Result<Response<pb::BatchGetAccountsResponse>, Status> {
        Err(Status::unimplemented("not in tests"))
    }

    async fn deactivate_account(
        &self,
        _: Request<pb::DeactivateAccountRequest>,
    ) -> Result<Response<pb::DeactivateAccountResponse>, Status> {
        Err(Status::unimplemented("not in tests"))
    }

    async fn reactivate_account(
        &self,
        _: Request<pb::ReactivateAccountRequest>,
    ) -> Result<Response<pb::ReactivateAccountResponse>, Status> {
        Err(Status::unimplemented("not in tests"))
    }
}

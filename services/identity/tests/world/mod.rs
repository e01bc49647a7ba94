//! Identity alone, with the few words that its tests speak.

#![allow(dead_code, reason = "each test file uses some of it")]

pub(crate) mod office;

use std::{io::Write as _, sync::Arc};

use alone::{Client, Engine, Service, ServiceBuilder, reason};
use contracts::caravan::identity::v1::{
    self as pb, identity_service_client::IdentityServiceClient,
    o_auth_service_client::OAuthServiceClient,
};
use tonic::Status;

pub(crate) const ADMIN: &str = "admin@caravan.test";
pub(crate) const PASSWORD: &str = "correct horse 1";
pub(crate) const ORDERING_SECRET: &str = "the secret of ordering";

/// A running identity service with an admin and one service client.
pub(crate) struct World {
    pub(crate) service: Service,
    clients_file: Arc<tempfile::NamedTempFile>,
}

impl World {
    pub(crate) async fn start(engine: Engine) -> Option<Self> {
        Self::start_with(engine, |service| service).await
    }

    pub(crate) async fn start_with(
        engine: Engine,
        more: impl FnOnce(ServiceBuilder) -> ServiceBuilder,
    ) -> Option<Self> {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        write!(file, r#"{{"ordering": "{ORDERING_SECRET}"}}"#).expect("written");
        let service = Service::of(env!("CARGO_BIN_EXE_identity"), engine)
            .with("SERVICE_CLIENTS_FILE", file.path().display().to_string())
            .with("BOOTSTRAP_ADMIN_EMAIL", ADMIN)
            .with("BOOTSTRAP_ADMIN_PASSWORD", PASSWORD);
        let service = more(service).start().await?;
        Some(Self {
            service,
            clients_file: Arc::new(file),
        })
    }

    /// Calls without a token.
    pub(crate) fn anybody(&self) -> IdentityServiceClient<Client> {
        IdentityServiceClient::new(self.service.anonymous())
    }

    /// Calls with this token.
    pub(crate) fn with_token(&self, token: &str) -> IdentityServiceClient<Client> {
        IdentityServiceClient::new(self.service.with_token(token))
    }

    /// Calls as the first admin.
    pub(crate) async fn admin(&self) -> IdentityServiceClient<Client> {
        let session = self.log_in(ADMIN, PASSWORD).await.expect("made at boot");
        self.with_token(&session.access_token)
    }

    /// Opens an account with the usual password.
    pub(crate) async fn register(&self, email: &str) -> pb::Account {
        self.try_register(a_person(email))
            .await
            .expect("a good person")
    }

    pub(crate) async fn try_register(
        &self,
        request: pb::RegisterAccountRequest,
    ) -> Result<pb::Account, Status> {
        let answer = self.anybody().register_account(request).await?;
        Ok(answer.into_inner().account.expect("always there"))
    }

    pub(crate) async fn log_in(&self, email: &str, password: &str) -> Result<pb::Session, Status> {
        let request = pb::CreateSessionRequest {
            email: email.into(),
            password: password.into(),
            client: "a test".into(),
        };
        let answer = self.anybody().create_session(request).await?;
        Ok(answer.into_inner().session.expect("always there"))
    }

    pub(crate) async fn refresh(&self, refresh_token: &str) -> Result<pb::Session, Status> {
        let request = pb::RefreshSessionRequest {
            refresh_token: refresh_token.into(),
        };
        let answer = self.anybody().refresh_session(request).await?;
        Ok(answer.into_inner().session.expect("always there"))
    }

    /// The newest mail that is to be sent to this address.
    pub(crate) async fn mail(&self, email: &str) -> Option<pb::PendingMail> {
        let request = pb::ListPendingMailsRequest {
            page_size: 100,
            ..Default::default()
        };
        let answer = self.admin().await.list_pending_mails(request).await;
        let mails = answer.expect("an admin may").into_inner().mails;
        mails.into_iter().rfind(|mail| mail.email == email)
    }

    /// The newest mail to this address tells of this, and brings nothing that anybody could use.
    pub(crate) async fn is_told(&self, email: &str, kind: pb::MailKind) {
        let mail = self.mail(email).await.expect("sent");
        assert_eq!((mail.kind(), mail.token.as_str()), (kind, ""));
        let seconds =
            [mail.create_time, mail.expire_time].map(|time| time.map_or(0, |it| it.seconds));
        assert!(0 < seconds[0] && seconds[0] < seconds[1], "{mail:?}");
        let request = pb::VerifyEmailRequest {
            token: mail.mail_id,
        };
        let refusal = self.anybody().verify_email(request).await;
        assert_eq!(reason(&refusal.expect_err("no token")), "TOKEN_INVALID");
    }

    pub(crate) async fn service_token(&self, name: &str, secret: &str) -> Result<String, Status> {
        let request = pb::IssueTokenRequest {
            grant_type: "client_credentials".into(),
            client_id: name.into(),
            client_secret: secret.into(),
            scope: String::new(),
        };
        let mut oauth = OAuthServiceClient::new(self.service.anonymous());
        Ok(oauth.issue_token(request).await?.into_inner().access_token)
    }

    pub(crate) async fn keys(&self) -> Vec<pb::JsonWebKey> {
        self.anybody()
            .get_key_set(pb::GetKeySetRequest {})
            .await
            .expect("public")
            .into_inner()
            .keys
    }
}

pub(crate) fn a_person(email: &str) -> pb::RegisterAccountRequest {
    pb::RegisterAccountRequest {
        email: email.into(),
        password: PASSWORD.into(),
        display_name: "Ada".into(),
    }
}

pub(crate) async fn me(client: &mut IdentityServiceClient<Client>) -> Result<pb::Account, Status> {
    let answer = client.get_my_account(pb::GetMyAccountRequest {}).await?;
    Ok(answer.into_inner().account.expect("always there"))
}

//! Service clients: how they get tokens, what others learn about tokens, and how tokens end before their time.

mod world;

use alone::{Client, Engine, on_both_engines, reason, violated_fields};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chassis::auth::Claims;
use contracts::caravan::identity::v1::{
    self as pb, audit_service_client::AuditServiceClient,
    client_service_client::ClientServiceClient, o_auth_service_client::OAuthServiceClient,
};
use tonic::{Code, Request, Status};

use world::{ADMIN, ORDERING_SECRET, PASSWORD, World};

on_both_engines!(
    a_client_gets_what_its_scopes_say,
    a_secret_is_shown_once_and_changed_without_a_gap,
    who_is_no_client_gets_nothing,
    a_client_of_the_mesh_is_a_service,
    what_a_token_is_good_for_now_is_told_to_whom_it_concerns,
    a_revoked_token_is_good_for_nothing,
);

/// Identity with an admin who makes clients.
struct Office {
    world: World,
    admin: String,
}

impl Office {
    async fn open(engine: Engine) -> Option<Self> {
        let world = World::start(engine).await?;
        let session = world.log_in(ADMIN, PASSWORD).await.expect("made at boot");
        let admin = session.access_token;
        Some(Self { world, admin })
    }

    fn clients(&self) -> ClientServiceClient<Client> {
        ClientServiceClient::new(self.world.service.with_token(&self.admin))
    }

    async fn create(&self, id: &str, scopes: &[&str]) -> Result<String, Status> {
        let request = pb::CreateClientRequest {
            client_id: id.into(),
            description: "a test's".into(),
            scopes: scopes.iter().map(ToString::to_string).collect(),
        };
        let answer = self.clients().create_client(request).await?.into_inner();
        Ok(answer.client_secret)
    }

    fn oauth(&self) -> OAuthServiceClient<Client> {
        OAuthServiceClient::new(self.world.service.anonymous())
    }

    fn oauth_as(&self, token: &str) -> OAuthServiceClient<Client> {
        OAuthServiceClient::new(self.world.service.with_token(token))
    }

    async fn token(&self, id: &str, secret: &str, scope: &str) -> Result<String, Status> {
        let request = request(id, secret, scope);
        let answer = self.oauth().issue_token(request).await?.into_inner();
        assert_eq!(answer.token_type, "Bearer");
        Ok(answer.access_token)
    }

    async fn introspect(&self, id: &str, secret: &str, token: &str) -> pb::IntrospectTokenResponse {
        let request = pb::IntrospectTokenRequest {
            token: token.into(),
            client_id: id.into(),
            client_secret: secret.into(),
            ..Default::default()
        };
        let answer = self.oauth().introspect_token(request).await;
        answer.expect("a client").into_inner()
    }

    async fn revoke(&self, id: &str, secret: &str, token: &str) -> Result<(), Status> {
        let request = pb::RevokeTokenRequest {
            token: token.into(),
            client_id: id.into(),
            client_secret: secret.into(),
            ..Default::default()
        };
        self.oauth().revoke_token(request).await.map(drop)
    }
}

fn request(id: &str, secret: &str, scope: &str) -> pb::IssueTokenRequest {
    pb::IssueTokenRequest {
        grant_type: "client_credentials".into(),
        client_id: id.into(),
        client_secret: secret.into(),
        scope: scope.into(),
    }
}

fn refused<T: std::fmt::Debug>(outcome: Result<T, Status>) -> (Code, String) {
    let refusal = outcome.expect_err("refused");
    (refusal.code(), reason(&refusal))
}

fn invalid_client() -> (Code, String) {
    (Code::Unauthenticated, "INVALID_CLIENT".into())
}

fn claims(token: &str) -> Claims {
    jsonwebtoken::dangerous::insecure_decode(token)
        .expect("a token of ours")
        .claims
}

async fn a_client_gets_what_its_scopes_say(engine: Engine) {
    let Some(office) = Office::open(engine).await else {
        return;
    };
    let secret = office.create("erp", &["audit:read", "stock:write"]).await;
    let secret = secret.expect("an admin may");
    let all = claims(&office.token("erp", &secret, "").await.expect("its own"));
    assert_eq!(all.scope.as_deref(), Some("audit:read stock:write"));
    assert_eq!(
        (all.sub.as_str(), all.client_id.as_deref()),
        ("erp", Some("erp"))
    );

    let audit = async |scope: &str| {
        let token = office.token("erp", &secret, scope).await.expect("its own");
        let client = office.world.service.with_token(token);
        let mut audit = AuditServiceClient::new(client);
        audit
            .list_audit_entries(pb::ListAuditEntriesRequest::default())
            .await
    };
    let entries = audit("audit:read")
        .await
        .expect("in its scope")
        .into_inner()
        .entries;
    assert!(!entries.is_empty());
    assert_eq!(
        refused(audit("stock:write").await),
        (Code::PermissionDenied, "ACCESS_DENIED".into())
    );
    for scope in ["orders:read", "audit:read orders:read", "mesh"] {
        let outcome = office.token("erp", &secret, scope).await;
        assert_eq!(
            refused(outcome),
            (Code::InvalidArgument, "INVALID_SCOPE".into()),
            "{scope}"
        );
    }
    // What was done with clients is remembered, and the secret is nowhere.
    let erp = |entry: &&pb::AuditEntry| entry.action == "CLIENT_CREATED" && entry.target == "erp";
    let entry = alone::wait::until("the audit log tells", || async {
        let entries = audit("").await.expect("in its scope").into_inner().entries;
        entries.iter().find(erp).cloned().ok_or(entries.len())
    });
    assert!(!entry.await.detail.contains(&secret));

    let unknown = office.create("x1", &["orders:read", "orders:eat"]).await;
    assert_eq!(
        violated_fields(&unknown.expect_err("no such scope")),
        ["scopes"]
    );
    for (id, reason) in [("erp", "CLIENT_TAKEN"), ("ordering", "CLIENT_TAKEN")] {
        let taken = office.create(id, &["orders:read"]).await;
        assert_eq!(refused(taken), (Code::AlreadyExists, reason.into()), "{id}");
    }
}

async fn a_secret_is_shown_once_and_changed_without_a_gap(engine: Engine) {
    let Some(office) = Office::open(engine).await else {
        return;
    };
    let first = office
        .create("erp", &["orders:read"])
        .await
        .expect("an admin");
    let list = office
        .clients()
        .list_clients(pb::ListClientsRequest::default())
        .await;
    let list = list.expect("an admin").into_inner().clients;
    assert_eq!(list.len(), 1);
    assert!(!format!("{list:?}").contains(&first));

    let rotate = async |keep_previous_hours: i32| {
        let request = pb::RotateClientSecretRequest {
            client_id: "erp".into(),
            keep_previous_hours,
        };
        let answer = office.clients().rotate_client_secret(request).await;
        answer.expect("an admin").into_inner().client_secret
    };
    let second = rotate(1).await;
    for secret in [&first, &second] {
        office
            .token("erp", secret, "")
            .await
            .expect("both are good");
    }
    let third = rotate(0).await;
    for secret in [&first, &second] {
        assert_eq!(
            refused(office.token("erp", secret, "").await),
            invalid_client()
        );
    }
    let token = office.token("erp", &third, "").await.expect("good");

    let name = || "erp".to_owned();
    let disable = pb::DisableClientRequest { client_id: name() };
    let client = office.clients().disable_client(disable).await;
    assert!(
        client
            .expect("an admin")
            .into_inner()
            .client
            .expect("there")
            .disabled
    );
    assert_eq!(
        refused(office.token("erp", &third, "").await),
        invalid_client()
    );
    let told = office.introspect("ordering", ORDERING_SECRET, &token).await;
    assert_eq!(told.active, Some(false));
    let enable = pb::EnableClientRequest { client_id: name() };
    office
        .clients()
        .enable_client(enable)
        .await
        .expect("an admin");
    office.token("erp", &third, "").await.expect("good again");
}

async fn who_is_no_client_gets_nothing(engine: Engine) {
    let Some(office) = Office::open(engine).await else {
        return;
    };
    let secret = office
        .create("erp", &["orders:read"])
        .await
        .expect("an admin");
    for (id, secret) in [
        ("erp", "wrong"),
        ("erp", ""),
        ("nobody", &secret),
        ("", &secret),
        ("", ""),
        ("ordering", &secret),
        ("erp", ORDERING_SECRET),
    ] {
        assert_eq!(
            refused(office.token(id, secret, "").await),
            invalid_client(),
            "{id}"
        );
    }
    for (grant, reason) in [
        ("password", "UNSUPPORTED_GRANT_TYPE"),
        ("", "INVALID_REQUEST"),
    ] {
        let mut request = request("erp", &secret, "");
        request.grant_type = grant.into();
        let outcome = office.oauth().issue_token(request).await;
        assert_eq!(refused(outcome), (Code::InvalidArgument, reason.into()));
    }
    // By the header; but not by both ways, and not as somebody else.
    let basic = |id: &str, request| {
        let mut request = Request::new(request);
        let pair = STANDARD.encode(format!("{id}:{secret}"));
        let header = format!("Basic {pair}").parse().expect("ASCII");
        request.metadata_mut().insert("authorization", header);
        request
    };
    let ask = async |request| office.oauth().issue_token(request).await;
    ask(basic("erp", request("", "", ""))).await.expect("good");
    ask(basic("erp", request("erp", "", "")))
        .await
        .expect("good");
    for request in [request("erp", &secret, ""), request("crm", "", "")] {
        let outcome = ask(basic("erp", request)).await;
        assert_eq!(
            refused(outcome),
            (Code::InvalidArgument, "INVALID_REQUEST".into())
        );
    }
    assert_eq!(
        refused(ask(basic("crm", request("", "", ""))).await),
        invalid_client()
    );

    // Only admins make clients.
    office.world.register("ada@example.org").await;
    let ada = office
        .world
        .log_in("ada@example.org", PASSWORD)
        .await
        .expect("registered");
    let erp = office.token("erp", &secret, "").await.expect("good");
    for token in [ada.access_token, erp] {
        let mut clients = ClientServiceClient::new(office.world.service.with_token(token));
        let outcome = clients
            .list_clients(pb::ListClientsRequest::default())
            .await;
        assert_eq!(refused(outcome).0, Code::PermissionDenied);
    }
}

async fn a_client_of_the_mesh_is_a_service(engine: Engine) {
    let Some(office) = Office::open(engine).await else {
        return;
    };
    let alone = office.create("shipping", &["mesh", "orders:read"]).await;
    assert_eq!(violated_fields(&alone.expect_err("two kinds")), ["scopes"]);
    let secret = office
        .create("shipping", &["mesh"])
        .await
        .expect("an admin");
    for (name, secret) in [("shipping", secret.as_str()), ("ordering", ORDERING_SECRET)] {
        let token = office.token(name, secret, "").await.expect("its own");
        assert_eq!(claims(&token).kind.as_str(), "service");
        let mut identity = office.world.with_token(&token);
        let request = pb::BatchGetAccountsRequest {
            account_ids: vec![uuid::Uuid::now_v7().to_string()],
        };
        identity
            .batch_get_accounts(request)
            .await
            .expect("services may");
    }
}

async fn what_a_token_is_good_for_now_is_told_to_whom_it_concerns(engine: Engine) {
    let Some(office) = Office::open(engine).await else {
        return;
    };
    let watcher = office
        .create("watcher", &["tokens:introspect"])
        .await
        .expect("an admin");
    let erp = office
        .create("erp", &["orders:read"])
        .await
        .expect("an admin");
    let ada = office.world.register("ada@example.org").await;
    let session = office
        .world
        .log_in("ada@example.org", PASSWORD)
        .await
        .expect("registered");
    let token = office.token("erp", &erp, "").await.expect("good");

    let told = office
        .introspect("watcher", &watcher, &session.access_token)
        .await;
    assert_eq!(told.active, Some(true));
    assert_eq!(
        (told.sub.as_deref(), told.kind.as_deref()),
        (Some(&*ada.account_id), Some("user"))
    );
    assert_eq!(told.roles, ["customer"]);
    assert!(told.exp > told.iat && told.iss.as_deref() == Some("caravan"));
    let told = office
        .introspect("watcher", &watcher, &session.refresh_token)
        .await;
    assert_eq!(
        (told.active, told.token_type.as_deref()),
        (Some(true), Some("refresh_token"))
    );
    let told = office.introspect("erp", &erp, &token).await;
    assert_eq!(
        (told.active, told.scope.as_deref()),
        (Some(true), Some("orders:read"))
    );

    // Others' tokens, and what is none, are nothing to a client without the scope.
    let inactive = pb::IntrospectTokenResponse {
        active: Some(false),
        ..Default::default()
    };
    for token in [
        &*session.access_token,
        &session.refresh_token,
        "x",
        "crt_AAAA",
        "a.b.c",
    ] {
        assert_eq!(office.introspect("erp", &erp, token).await, inactive);
    }
    let ask = async |mut oauth: OAuthServiceClient<Client>| {
        let token = token.clone();
        let request = pb::IntrospectTokenRequest {
            token,
            ..Default::default()
        };
        oauth.introspect_token(request).await
    };
    let answer = ask(office.oauth_as(&office.admin)).await.expect("an admin");
    assert_eq!(answer.into_inner().active, Some(true));
    for nobody in [office.oauth(), office.oauth_as(&session.access_token)] {
        assert_eq!(refused(ask(nobody).await), invalid_client());
    }

    // A session that ends takes its access tokens along.
    let end = pb::EndSessionRequest {
        refresh_token: session.refresh_token.clone(),
    };
    office.world.anybody().end_session(end).await.expect("hers");
    for token in [&session.access_token, &session.refresh_token] {
        assert_eq!(
            office.introspect("watcher", &watcher, token).await,
            inactive
        );
    }
}

async fn a_revoked_token_is_good_for_nothing(engine: Engine) {
    let Some(office) = Office::open(engine).await else {
        return;
    };
    let guard = office
        .create("guard", &["tokens:introspect", "tokens:revoke"])
        .await
        .expect("an admin");
    let erp = office
        .create("erp", &["orders:read"])
        .await
        .expect("an admin");
    office.world.register("ada@example.org").await;
    let session = office
        .world
        .log_in("ada@example.org", PASSWORD)
        .await
        .expect("registered");
    let active = async |token: &str| office.introspect("guard", &guard, token).await.active;

    for token in [&session.access_token, &session.refresh_token] {
        let outcome = office.revoke("erp", &erp, token).await;
        assert_eq!(
            refused(outcome),
            (Code::PermissionDenied, "UNAUTHORIZED_CLIENT".into())
        );
        assert_eq!(active(token).await, Some(true));
    }
    let own = office.token("erp", &erp, "").await.expect("good");
    let other = office.token("erp", &erp, "").await.expect("good");
    for _ in 0..2 {
        office.revoke("erp", &erp, &own).await.expect("its own");
        assert_eq!(active(&own).await, Some(false));
    }
    assert_eq!(active(&other).await, Some(true), "only the one");
    for token in ["x", "crt_AAAA", "a.b.c"] {
        office
            .revoke("erp", &erp, token)
            .await
            .expect("good for nothing anyway");
    }

    office
        .revoke("guard", &guard, &session.access_token)
        .await
        .expect("in its scope");
    assert_eq!(active(&session.access_token).await, Some(false));
    let next = office
        .world
        .refresh(&session.refresh_token)
        .await
        .expect("it goes on");
    office
        .revoke("guard", &guard, &next.refresh_token)
        .await
        .expect("in its scope");
    assert_eq!(active(&next.access_token).await, Some(false));
    let refresh = office.world.refresh(&next.refresh_token).await;
    assert_eq!(
        refused(refresh),
        (Code::Unauthenticated, "REFRESH_TOKEN_INVALID".into())
    );
    assert_eq!(
        refused(office.revoke("nobody", "x", &own).await),
        invalid_client()
    );
}

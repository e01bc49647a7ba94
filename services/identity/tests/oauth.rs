//! Service clients: how they get tokens, and what they may do with them.

mod world;

use alone::{Engine, on_both_engines, violated_fields};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use contracts::caravan::identity::v1::{
    self as pb, audit_service_client::AuditServiceClient,
    client_service_client::ClientServiceClient,
};
use tonic::{Code, Request};

use world::{
    ORDERING_SECRET, PASSWORD,
    office::{Office, claims, invalid_client, refused, request},
};

on_both_engines!(
    a_client_gets_what_its_scopes_say,
    a_secret_is_shown_once_and_changed_without_a_gap,
    who_is_no_client_gets_nothing,
    a_client_of_the_mesh_is_a_service,
);

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

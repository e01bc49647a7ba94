//! What others learn about tokens, and how tokens end before their time.

mod world;

use alone::{Client, Engine, on_both_engines};
use contracts::caravan::identity::v1::{self as pb, o_auth_service_client::OAuthServiceClient};
use tonic::Code;

use world::{
    PASSWORD,
    office::{Office, invalid_client, refused},
};

on_both_engines!(
    what_a_token_is_good_for_now_is_told_to_whom_it_concerns,
    a_revoked_token_is_good_for_nothing,
);

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

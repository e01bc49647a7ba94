//! Who did what to whom, as operators read it.

mod world;

use alone::{Engine, database_url, on_both_engines};
use chassis::{clock, db::Db};
use contracts::caravan::{
    audit::v1::ActionRecorded,
    identity::v1::{
        self as pb, audit_service_client::AuditServiceClient,
        identity_service_client::IdentityServiceClient,
    },
};
use identity::{
    domain::audit::{Action, Collected, Entry},
    store::{self, migrations::Migrator},
};
use sea_orm::ConnectionTrait as _;
use time::Duration;
use tonic::{Code, Status};
use uuid::Uuid;

use world::{ADMIN, PASSWORD, World};

on_both_engines!(
    what_people_do_to_their_accounts_is_remembered,
    what_admins_do_is_remembered_with_their_names,
    only_operators_and_admins_read_it,
    what_other_services_record_is_collected_once,
    entries_stay_as_they_are,
);

async fn entries(
    client: alone::Client,
    request: pb::ListAuditEntriesRequest,
) -> Result<pb::ListAuditEntriesResponse, Status> {
    let answer = AuditServiceClient::new(client)
        .list_audit_entries(request)
        .await?;
    Ok(answer.into_inner())
}

/// Everything about an account, oldest first.
async fn of(world: &World, account: &str) -> Vec<pb::AuditEntry> {
    let admin = world.log_in(ADMIN, PASSWORD).await.expect("made at boot");
    let mut request = pb::ListAuditEntriesRequest {
        page_size: 2,
        account_id: account.to_owned(),
        ..Default::default()
    };
    let mut all = Vec::new();
    loop {
        let client = world.service.with_token(&admin.access_token);
        let page = entries(client, request.clone())
            .await
            .expect("an admin may");
        all.extend(page.entries);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    all.reverse();
    all
}

fn told(entries: &[pb::AuditEntry]) -> Vec<(&str, &str)> {
    let told = entries
        .iter()
        .map(|entry| (entry.action.as_str(), entry.actor.as_str()));
    told.collect()
}

async fn what_people_do_to_their_accounts_is_remembered(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let ada = world.register("ada@example.com").await;
    let refusal = world.log_in("ada@example.com", "a wrong password").await;
    refusal.expect_err("wrong");
    let first = world.log_in("ada@example.com", PASSWORD).await;
    let first = first.expect("right");
    let mut newest = first.clone();
    for _ in 0..2 {
        newest = world.refresh(&newest.refresh_token).await.expect("newest");
    }
    // Used twice over by now: somebody has stolen it.
    let refusal = world.refresh(&first.refresh_token).await;
    refusal.expect_err("used");
    let request = pb::RequestPasswordResetRequest {
        email: "ada@example.com".into(),
    };
    let answer = world.anybody().request_password_reset(request).await;
    answer.expect("always");
    let session = world.log_in("ada@example.com", PASSWORD).await;
    let mut client = world.with_token(&session.expect("right").access_token);
    let request = pb::ChangePasswordRequest {
        current_password: PASSWORD.into(),
        new_password: "another good password".into(),
    };
    client.change_password(request).await.expect("right");
    let request = pb::CloseMyAccountRequest {
        password: "another good password".into(),
    };
    client.close_my_account(request).await.expect("right");

    let her = format!("user:{}", ada.account_id);
    let her = her.as_str();
    let all = of(&world, &ada.account_id).await;
    assert_eq!(
        told(&all),
        [
            ("ACCOUNT_REGISTERED", "anonymous"),
            ("LOGIN_REFUSED", "anonymous"),
            ("LOGIN", her),
            ("REFRESH_TOKEN_REUSED", "anonymous"),
            ("PASSWORD_RESET_REQUESTED", "anonymous"),
            ("LOGIN", her),
            ("PASSWORD_CHANGED", her),
            ("ACCOUNT_CLOSED", her),
        ]
    );
    assert!(all.iter().all(|entry| !entry.request_id.is_empty()));
    let text = format!("{all:?}");
    for secret in [PASSWORD, "ada@example.com", "Ada", &first.refresh_token] {
        assert!(!text.contains(secret), "{secret}");
    }
}

async fn what_admins_do_is_remembered_with_their_names(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let bob = world.register("bob@example.com").await;
    let admin = world.log_in(ADMIN, PASSWORD).await.expect("made at boot");
    let by_admin = format!("user:{}", admin.account_id);
    let mut client = IdentityServiceClient::new(world.service.with_token(&admin.access_token));
    let request = pb::SetAccountRolesRequest {
        account_id: bob.account_id.clone(),
        roles: vec!["customer".into(), "support".into()],
    };
    // The second one changes nothing.
    for _ in 0..2 {
        let answer = client.set_account_roles(request.clone()).await;
        answer.expect("an admin may");
    }
    let request = pb::DeactivateAccountRequest {
        account_id: bob.account_id.clone(),
    };
    client.deactivate_account(request).await.expect("may");
    let request = pb::ReactivateAccountRequest {
        account_id: bob.account_id.clone(),
    };
    client.reactivate_account(request).await.expect("may");

    let all = of(&world, &bob.account_id).await;
    let by_admin = by_admin.as_str();
    assert_eq!(
        told(&all),
        [
            ("ACCOUNT_REGISTERED", "anonymous"),
            ("ROLES_SET", by_admin),
            ("ACCOUNT_DEACTIVATED", by_admin),
            ("ACCOUNT_REACTIVATED", by_admin),
        ]
    );
    assert_eq!(all[1].detail, "customer,support");

    let operator = world.service.with_token(&admin.access_token);
    let request = pb::ListAuditEntriesRequest {
        actor: by_admin.to_owned(),
        action: "ROLES_SET".into(),
        ..Default::default()
    };
    let page = entries(operator, request).await.expect("an admin may");
    assert_eq!(page.entries, [all[1].clone()]);
}

async fn only_operators_and_admins_read_it(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    world.register("ada@example.com").await;
    let session = world.log_in("ada@example.com", PASSWORD).await;
    let customer = world
        .service
        .with_token(session.expect("right").access_token);
    let refusal = entries(customer, pb::ListAuditEntriesRequest::default()).await;
    assert_eq!(refusal.expect_err("no").code(), Code::PermissionDenied);
    let refusal = entries(world.service.anonymous(), Default::default()).await;
    assert_eq!(refusal.expect_err("no").code(), Code::Unauthenticated);

    let nobody = pb::ListAuditEntriesRequest {
        account_id: Uuid::now_v7().to_string(),
        ..Default::default()
    };
    let admin = world.log_in(ADMIN, PASSWORD).await.expect("made at boot");
    let page = entries(world.service.with_token(&admin.access_token), nobody).await;
    assert_eq!(page.expect("an admin may").entries, []);
}

/// What a service records of a call.
fn recorded(action: &str, target: &str) -> ActionRecorded {
    ActionRecorded {
        entry_id: Uuid::now_v7().to_string(),
        time: Some(clock::timestamp(clock::now())),
        service: "catalog".into(),
        actor: "client:erp".into(),
        action: action.into(),
        target: target.into(),
        detail: "price=7".into(),
        request_id: "r-1".into(),
    }
}

async fn what_other_services_record_is_collected_once(engine: Engine) {
    let Some(mut world) = World::start(engine).await else {
        return;
    };
    let (first, second) = (
        recorded("PRODUCT_UPDATED", "p-1"),
        recorded("PRODUCT_RETIRED", "p-2"),
    );
    for event in [&first, &first, &second] {
        world.service.hears_from("catalog", event).await;
    }
    let admin = world.log_in(ADMIN, PASSWORD).await.expect("made at boot");
    let list = async |world: &World, request: pb::ListAuditEntriesRequest| {
        let client = world.service.with_token(&admin.access_token);
        entries(client, request)
            .await
            .expect("an admin may")
            .entries
    };
    let of_catalog = pb::ListAuditEntriesRequest {
        service: "catalog".into(),
        ..Default::default()
    };
    let all = alone::wait::until("both are there", || async {
        let all = list(&world, of_catalog.clone()).await;
        if all.len() == 2 { Ok(all) } else { Err(all) }
    })
    .await;
    let newest = &all[0];
    assert_eq!(
        (
            &*newest.entry_id,
            &*newest.actor,
            &*newest.action,
            &*newest.target
        ),
        (&*second.entry_id, "client:erp", "PRODUCT_RETIRED", "p-2")
    );
    assert_eq!(
        (
            &*newest.service,
            &*newest.detail,
            &*newest.request_id,
            &*newest.account_id
        ),
        ("catalog", "price=7", "r-1", "")
    );
    assert_eq!(newest.time, second.time);

    world.service.crash_and_restart().await;
    let hour = Duration::HOUR;
    let at = |time| Some(clock::timestamp(time));
    for (request, count) in [
        (of_catalog.clone(), 2),
        (
            pb::ListAuditEntriesRequest {
                target: "p-1".into(),
                ..Default::default()
            },
            1,
        ),
        (
            pb::ListAuditEntriesRequest {
                since: at(clock::now() - hour),
                until: at(clock::now() + hour),
                ..of_catalog.clone()
            },
            2,
        ),
        (
            pb::ListAuditEntriesRequest {
                until: at(clock::now() - hour),
                ..of_catalog.clone()
            },
            0,
        ),
        (
            pb::ListAuditEntriesRequest {
                since: at(clock::now() + hour),
                ..of_catalog.clone()
            },
            0,
        ),
        (
            pb::ListAuditEntriesRequest {
                service: "identity".into(),
                actor: "client:erp".into(),
                ..Default::default()
            },
            0,
        ),
        // Of what is done to an account, the account is what it is done to.
        (
            pb::ListAuditEntriesRequest {
                target: admin.account_id.clone(),
                action: "LOGIN".into(),
                ..Default::default()
            },
            1,
        ),
    ] {
        let found = list(&world, request.clone()).await;
        assert_eq!(found.len(), count, "{request:?}: {found:?}");
    }
}

async fn entries_stay_as_they_are(engine: Engine) {
    let Some(url) = database_url(engine) else {
        return;
    };
    let db = Db::open::<Migrator>(&url).await.expect("an empty database");
    let entry = &Entry::by_owner(Action::Login, Uuid::now_v7());
    db.write(|tx| async move { store::audit::append(&tx, entry.clone()).await })
        .await
        .expect("kept");
    for sql in [
        "UPDATE audit_entries SET actor = 'service:nobody'",
        "DELETE FROM audit_entries",
    ] {
        let changed = db
            .write(|tx| async move {
                tx.execute_unprepared(sql).await?;
                Ok::<_, chassis::db::Error>(())
            })
            .await;
        assert!(changed.is_err(), "{sql}");
    }
    let old = &Collected {
        id: Uuid::now_v7(),
        time: clock::now() - Duration::days(401),
        service: "catalog".into(),
        actor: "client:erp".into(),
        action: "PRODUCT_RETIRED".into(),
        target: "p-1".into(),
        detail: String::new(),
        request_id: String::new(),
    };
    let purged = db
        .write(|tx| async move {
            store::audit::collect(&tx, old.clone()).await?;
            store::audit::purge(&tx, clock::now(), 10).await
        })
        .await;
    assert_eq!(purged.expect("too old"), 1);
    // Not even a purge whose clock is wrong takes what is young.
    let much_later = clock::now() + Duration::days(500);
    for (now, refused) in [(clock::now(), false), (much_later, true)] {
        let purged = db
            .write(|tx| async move { store::audit::purge(&tx, now, 10).await })
            .await;
        assert_eq!(purged.is_err(), refused, "{purged:?}");
    }
    let left = store::audit::list(
        db.read(),
        store::audit::Filter::default(),
        &chassis::page::Page::of(10, "").expect("a page"),
    )
    .await
    .expect("readable");
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].actor, entry.actor);
}

//! Accounts: opened, read, closed for a while and opened again.

mod world;

use alone::{Engine, on_both_engines, reason, violated_fields};
use contracts::caravan::identity::v1::{self as pb, AccountState};
use futures::future::join_all;
use tonic::Code;
use uuid::Uuid;

use world::{ADMIN, ORDERING_SECRET, PASSWORD, World, a_person, me};

on_both_engines!(
    a_person_registers_logs_in_and_sees_herself,
    an_address_has_one_account,
    bad_input_is_named_and_nothing_is_stored,
    an_inactive_account_cannot_log_in,
    only_those_who_may_look,
    the_world_hears_of_it,
);

async fn a_person_registers_logs_in_and_sees_herself(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let account = world.register("Ada@Example.org").await;
    assert_eq!(
        (account.email.as_str(), account.display_name.as_str()),
        ("ada@example.org", "Ada")
    );
    assert_eq!(
        (account.state(), account.roles.as_slice()),
        (AccountState::Active, ["customer".to_owned()].as_slice())
    );
    let session = world
        .log_in("ADA@example.org", PASSWORD)
        .await
        .expect("registered");
    assert_eq!(
        (session.token_type.as_str(), session.expires_in),
        ("Bearer", 15 * 60)
    );
    assert_eq!(session.account_id, account.account_id);
    assert_eq!(
        me(&mut world.with_token(&session.access_token))
            .await
            .expect("herself"),
        account
    );
    assert!(
        !world.service.log().join("\n").contains(PASSWORD),
        "no password in the log"
    );
}

async fn an_address_has_one_account(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let addresses = [
        "ada@example.org",
        "ADA@example.org",
        "Ada@Example.Org",
        "ada@EXAMPLE.org",
    ];
    let answers = join_all(addresses.map(|email| world.try_register(a_person(email)))).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    for refusal in answers.into_iter().filter_map(Result::err) {
        assert_eq!(
            (refusal.code(), reason(&refusal).as_str()),
            (Code::AlreadyExists, "EMAIL_TAKEN")
        );
    }
    let late = world
        .try_register(a_person("ada@example.org"))
        .await
        .expect_err("taken");
    assert_eq!(reason(&late), "EMAIL_TAKEN");
}

async fn bad_input_is_named_and_nothing_is_stored(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let good = a_person("ada@example.org");
    for (request, field) in [
        (a_person("ada"), "email"),
        (a_person(""), "email"),
        (
            a_person(&format!("{}@example.org", "a".repeat(254))),
            "email",
        ),
        (
            pb::RegisterAccountRequest {
                password: "short".into(),
                ..good.clone()
            },
            "password",
        ),
        (
            pb::RegisterAccountRequest {
                password: "x".repeat(129),
                ..good.clone()
            },
            "password",
        ),
        (
            pb::RegisterAccountRequest {
                display_name: String::new(),
                ..good.clone()
            },
            "displayName",
        ),
        (
            pb::RegisterAccountRequest {
                display_name: "A\nda".into(),
                ..good.clone()
            },
            "displayName",
        ),
    ] {
        let refusal = world.try_register(request).await.expect_err(field);
        let mut fields = violated_fields(&refusal);
        fields.dedup(); // An address may break two rules.
        assert_eq!(
            (refusal.code(), fields),
            (Code::InvalidArgument, vec![field.to_owned()])
        );
        assert!(
            !refusal.message().contains("short"),
            "no password in the answer"
        );
    }
    world
        .try_register(good)
        .await
        .expect("nobody has this address yet");
}

async fn an_inactive_account_cannot_log_in(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let account = world.register("ada@example.org").await;
    let mut admin = world.admin().await;
    let request = || pb::DeactivateAccountRequest {
        account_id: account.account_id.clone(),
    };
    let closed = admin
        .deactivate_account(request())
        .await
        .expect("active")
        .into_inner()
        .account
        .expect("there");
    assert_eq!(closed.state(), AccountState::Inactive);
    let again = admin
        .deactivate_account(request())
        .await
        .expect("repeated")
        .into_inner()
        .account
        .expect("there");
    assert_eq!(again, closed);
    let wrong = world
        .log_in("ada@example.org", "something else")
        .await
        .expect_err("wrong");
    assert_eq!(
        (wrong.code(), reason(&wrong).as_str()),
        (Code::Unauthenticated, "INVALID_CREDENTIALS")
    );
    let right = world
        .log_in("ada@example.org", PASSWORD)
        .await
        .expect_err("inactive");
    assert_eq!(
        (right.code(), reason(&right).as_str()),
        (Code::PermissionDenied, "ACCOUNT_INACTIVE")
    );
    let request = pb::ReactivateAccountRequest {
        account_id: account.account_id.clone(),
    };
    admin.reactivate_account(request).await.expect("inactive");
    world
        .log_in("ada@example.org", PASSWORD)
        .await
        .expect("active again");
}

async fn only_those_who_may_look(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let (ada, bob) = (
        world.register("ada@example.org").await,
        world.register("bob@example.org").await,
    );
    let get = |id: &str| pb::GetAccountRequest {
        account_id: id.to_owned(),
    };
    let mut anybody = world.anybody();
    let refusal = anybody
        .get_account(get(&ada.account_id))
        .await
        .expect_err("nobody");
    assert_eq!(refusal.code(), Code::Unauthenticated);
    assert_eq!(
        me(&mut anybody).await.expect_err("nobody").code(),
        Code::Unauthenticated
    );

    let session = world
        .log_in("bob@example.org", PASSWORD)
        .await
        .expect("registered");
    let mut customer = world.with_token(&session.access_token);
    let refusal = customer
        .get_account(get(&ada.account_id))
        .await
        .expect_err("not hers");
    assert_eq!(refusal.code(), Code::PermissionDenied);
    let close = pb::DeactivateAccountRequest {
        account_id: ada.account_id.clone(),
    };
    let refusal = customer
        .deactivate_account(close)
        .await
        .expect_err("no admin");
    assert_eq!(refusal.code(), Code::PermissionDenied);

    let token = world
        .service_token("ordering", ORDERING_SECRET)
        .await
        .expect("known");
    let mut ordering = world.with_token(&token);
    let found = ordering
        .get_account(get(&ada.account_id))
        .await
        .expect("a service")
        .into_inner();
    assert_eq!(found.account, Some(ada.clone()));
    let unknown = Uuid::now_v7().to_string();
    let refusal = ordering
        .get_account(get(&unknown))
        .await
        .expect_err("unknown");
    assert_eq!(
        (refusal.code(), reason(&refusal).as_str()),
        (Code::NotFound, "ACCOUNT_NOT_FOUND")
    );
    let account_ids = vec![bob.account_id.clone(), unknown, ada.account_id.clone()];
    let batch = ordering
        .batch_get_accounts(pb::BatchGetAccountsRequest { account_ids })
        .await
        .expect("a service");
    assert_eq!(batch.into_inner().accounts, [ada, bob]);
}

async fn the_world_hears_of_it(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let ada = world.register("ada@example.org").await;
    let mut admin = world.admin().await;
    for _ in 0..2 {
        let request = pb::DeactivateAccountRequest {
            account_id: ada.account_id.clone(),
        };
        admin.deactivate_account(request).await.expect("known");
    }
    let request = pb::ReactivateAccountRequest {
        account_id: ada.account_id.clone(),
    };
    admin.reactivate_account(request).await.expect("known");
    let registered = world.service.published::<pb::AccountRegistered>(2).await;
    let told: Vec<_> = registered
        .iter()
        .map(|event| event.email.as_str())
        .collect();
    assert_eq!(told, [ADMIN, "ada@example.org"]);
    let updated = |state: AccountState, version| pb::AccountUpdated {
        account_id: ada.account_id.clone(),
        email: ada.email.clone(),
        display_name: ada.display_name.clone(),
        state: state.into(),
        version,
    };
    world
        .service
        .publishes(vec![
            updated(AccountState::Inactive, 2),
            updated(AccountState::Active, 3),
        ])
        .await;
}

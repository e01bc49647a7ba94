//! What people do with their accounts: verify, change, forget the password, close; and what admins make of them.

mod world;

use alone::{Engine, on_both_engines, reason, violated_fields};
use contracts::caravan::identity::v1::{self as pb, AccountState, MailKind};
use tonic::Code;

use world::{ADMIN, ORDERING_SECRET, PASSWORD, World, a_person, me};

on_both_engines!(
    a_mail_verifies_the_address_once,
    a_forgotten_password_is_set_anew_by_mail,
    nobody_learns_who_has_an_account,
    a_password_is_changed_by_who_knows_it,
    a_person_changes_her_name_and_nothing_else,
    a_closed_account_leaves_nothing_behind,
    admins_say_who_is_what,
    mails_are_the_postmans,
);

const ADA: &str = "ada@example.org";
const NEW_PASSWORD: &str = "better horse 2";

async fn a_mail_verifies_the_address_once(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    assert!(!world.register(ADA).await.email_verified);
    let first = world.mail(ADA).await.expect("sent at registration");
    assert_eq!(first.kind(), MailKind::EmailVerification);
    let session = world.log_in(ADA, PASSWORD).await.expect("registered");
    let mut ada = world.with_token(&session.access_token);
    ada.request_email_verification(pb::RequestEmailVerificationRequest {})
        .await
        .expect("once more");
    let second = world.mail(ADA).await.expect("sent again");
    let verify = |token: &str| pb::VerifyEmailRequest {
        token: token.into(),
    };
    for token in [first.token.as_str(), "nothing"] {
        let refusal = world.anybody().verify_email(verify(token)).await;
        let refusal = refusal.expect_err("only the newest mail counts");
        assert_eq!(
            (refusal.code(), reason(&refusal).as_str()),
            (Code::FailedPrecondition, "TOKEN_INVALID")
        );
    }
    let verified = world.anybody().verify_email(verify(&second.token)).await;
    let account = verified.expect("good").into_inner().account;
    assert!(account.expect("always there").email_verified);
    let refusal = world.anybody().verify_email(verify(&second.token)).await;
    assert_eq!(reason(&refusal.expect_err("used")), "TOKEN_INVALID");
    assert!(me(&mut ada).await.expect("herself").email_verified);
    ada.request_email_verification(pb::RequestEmailVerificationRequest {})
        .await
        .expect("nothing to do");
    assert_eq!(world.mail(ADA).await, None);

    let told = world.service.published::<pb::MailRequested>(2).await;
    let ids: Vec<_> = told.iter().map(|event| event.mail_id.as_str()).collect();
    assert_eq!(ids, [first.mail_id.as_str(), second.mail_id.as_str()]);
    let log = world.service.log().join("\n");
    assert!(!log.contains(&first.token) && !log.contains(&second.token));
}

async fn a_forgotten_password_is_set_anew_by_mail(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    world.register(ADA).await;
    let session = world.log_in(ADA, PASSWORD).await.expect("registered");
    let request = pb::RequestPasswordResetRequest { email: ADA.into() };
    world
        .anybody()
        .request_password_reset(request)
        .await
        .expect("always");
    let mail = world.mail(ADA).await.expect("sent");
    assert_eq!(mail.kind(), MailKind::PasswordReset);
    let reset = |token: &str, new_password: &str| pb::ResetPasswordRequest {
        token: token.into(),
        new_password: new_password.into(),
    };
    let short = world
        .anybody()
        .reset_password(reset(&mail.token, "short"))
        .await;
    assert_eq!(
        violated_fields(&short.expect_err("too short")),
        ["newPassword"]
    );
    // A token verifies an address or sets a password, not both.
    let request = pb::VerifyEmailRequest {
        token: mail.token.clone(),
    };
    let wrong = world.anybody().verify_email(request).await;
    assert_eq!(reason(&wrong.expect_err("another kind")), "TOKEN_INVALID");

    world
        .anybody()
        .reset_password(reset(&mail.token, NEW_PASSWORD))
        .await
        .expect("good");
    world.is_told(ADA, MailKind::PasswordChanged).await;
    let again = world
        .anybody()
        .reset_password(reset(&mail.token, "a third one 3"))
        .await;
    assert_eq!(reason(&again.expect_err("used")), "TOKEN_INVALID");
    let old = world.log_in(ADA, PASSWORD).await.expect_err("the old one");
    assert_eq!(reason(&old), "INVALID_CREDENTIALS");
    world.log_in(ADA, NEW_PASSWORD).await.expect("the new one");
    let ended = world.refresh(&session.refresh_token).await;
    assert_eq!(reason(&ended.expect_err("out")), "REFRESH_TOKEN_INVALID");
}

async fn nobody_learns_who_has_an_account(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    world.register(ADA).await;
    let mut answers = Vec::new();
    for email in [ADA, "nobody@example.org"] {
        let request = pb::RequestPasswordResetRequest {
            email: email.into(),
        };
        let answer = world.anybody().request_password_reset(request).await;
        answers.push(answer.expect("always").into_inner());
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(world.mail("nobody@example.org").await, None);
    world
        .service
        .published::<pb::MailRequested>(2) // Ada's verification and her reset: nobody's is told to nobody.
        .await;
}

async fn a_password_is_changed_by_who_knows_it(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    world.register(ADA).await;
    let session = world.log_in(ADA, PASSWORD).await.expect("registered");
    let mut ada = world.with_token(&session.access_token);
    let change = |current: &str| pb::ChangePasswordRequest {
        current_password: current.into(),
        new_password: NEW_PASSWORD.into(),
    };
    let refusal = ada.change_password(change("a guess")).await;
    assert_eq!(reason(&refusal.expect_err("wrong")), "INVALID_CREDENTIALS");
    world
        .refresh(&session.refresh_token)
        .await
        .expect("nothing happened");
    ada.change_password(change(PASSWORD)).await.expect("right");
    world.log_in(ADA, NEW_PASSWORD).await.expect("the new one");
    world.log_in(ADA, PASSWORD).await.expect_err("the old one");
    world
        .refresh(&session.refresh_token)
        .await
        .expect_err("out");
}

async fn a_person_changes_her_name_and_nothing_else(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let before = world.register(ADA).await;
    let session = world.log_in(ADA, PASSWORD).await.expect("registered");
    let mut ada = world.with_token(&session.access_token);
    let update = |account: pb::Account| pb::UpdateMyAccountRequest {
        account: Some(account),
        update_mask: None,
    };
    let wish = pb::Account {
        display_name: "Countess".into(),
        preferences: Some(pb::Preferences {
            locale: "en-GB".into(),
            newsletter: true,
        }),
        ..Default::default()
    };
    for _ in 0..2 {
        let answer = ada.update_my_account(update(wish.clone())).await;
        let changed = answer.expect("hers").into_inner().account;
        let expected = pb::Account {
            display_name: wish.display_name.clone(),
            preferences: wish.preferences.clone(),
            ..before.clone()
        };
        assert_eq!(changed, Some(expected));
    }
    for (account, field) in [
        (
            pb::Account {
                roles: vec!["admin".into()],
                ..Default::default()
            },
            "roles",
        ),
        (
            pb::Account {
                email: "other@example.org".into(),
                ..Default::default()
            },
            "email",
        ),
        (
            pb::Account {
                preferences: Some(pb::Preferences {
                    locale: "not a language".into(),
                    ..Default::default()
                }),
                ..Default::default()
            },
            "account.preferences.locale",
        ),
    ] {
        let refusal = ada.update_my_account(update(account)).await;
        let refusal = refusal.expect_err("not hers to change");
        assert_eq!(violated_fields(&refusal), [field], "{refusal:?}");
    }
    assert_eq!(me(&mut ada).await.expect("herself").roles, ["customer"]);
    let told = world.service.published::<pb::AccountUpdated>(1).await;
    assert_eq!(told[0].display_name, "Countess");
}

async fn a_closed_account_leaves_nothing_behind(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let account = world.register(ADA).await;
    let session = world.log_in(ADA, PASSWORD).await.expect("registered");
    let mut ada = world.with_token(&session.access_token);
    let close = |password: &str| pb::CloseMyAccountRequest {
        password: password.into(),
    };
    let refusal = ada.close_my_account(close("a guess")).await;
    assert_eq!(reason(&refusal.expect_err("wrong")), "INVALID_CREDENTIALS");
    ada.close_my_account(close(PASSWORD)).await.expect("right");

    let told = world.service.published::<pb::AccountClosed>(1).await;
    assert_eq!(told[0].account_id, account.account_id);
    world.log_in(ADA, PASSWORD).await.expect_err("nobody");
    world
        .refresh(&session.refresh_token)
        .await
        .expect_err("out");
    let mut admin = world.admin().await;
    let request = pb::GetAccountRequest {
        account_id: account.account_id.clone(),
    };
    let left = admin.get_account(request).await.expect("known");
    let left = left.into_inner().account.expect("always there");
    assert_eq!(left.state(), AccountState::Closed);
    assert!(!format!("{left:?}").contains("ada@") && left.display_name != "Ada");
    let request = pb::ReactivateAccountRequest {
        account_id: account.account_id,
    };
    let refusal = admin.reactivate_account(request).await;
    assert_eq!(reason(&refusal.expect_err("for good")), "ACCOUNT_CLOSED");
    // The address is free for whoever has it now.
    world.register(ADA).await;
}

async fn admins_say_who_is_what(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let account = world.register(ADA).await;
    let set = |account_id: &str, roles: &[&str]| pb::SetAccountRolesRequest {
        account_id: account_id.into(),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
    };
    let session = world.log_in(ADA, PASSWORD).await.expect("registered");
    let mut ada = world.with_token(&session.access_token);
    let refusal = ada
        .set_account_roles(set(&account.account_id, &["admin"]))
        .await;
    assert_eq!(
        refusal.expect_err("no admin").code(),
        Code::PermissionDenied
    );

    let mut admin = world.admin().await;
    let refusal = admin
        .set_account_roles(set(&account.account_id, &["support", "root"]))
        .await;
    assert_eq!(
        violated_fields(&refusal.expect_err("no role")),
        ["roles[1]"]
    );
    let answer = admin
        .set_account_roles(set(&account.account_id, &["operator", "support"]))
        .await;
    let roles = answer.expect("known").into_inner().account;
    assert_eq!(roles.expect("always there").roles, ["support", "operator"]);
    let own = me(&mut admin).await.expect("herself").account_id;
    let refusal = admin.set_account_roles(set(&own, &["customer"])).await;
    assert_eq!(reason(&refusal.expect_err("her own")), "OWN_ADMIN_ROLE");

    world.is_told(ADA, MailKind::RolesChanged).await;

    // The next access token says it.
    let next = world.refresh(&session.refresh_token).await.expect("good");
    let mut ada = world.with_token(&next.access_token);
    let request = pb::GetAccountRequest { account_id: own };
    let seen = ada.get_account(request).await.expect("support may look");
    assert_eq!(seen.into_inner().account.expect("there").email, ADMIN);
}

async fn mails_are_the_postmans(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    world
        .try_register(a_person(ADA))
        .await
        .expect("a good person");
    let token = world.service_token("ordering", ORDERING_SECRET).await;
    let mut ordering = world.with_token(&token.expect("admitted"));
    let request = pb::ListPendingMailsRequest::default();
    let refusal = ordering.list_pending_mails(request.clone()).await;
    assert_eq!(
        refusal.expect_err("no postman").code(),
        Code::PermissionDenied
    );
    let mut nobody = world.anybody();
    let refusal = nobody.list_pending_mails(request).await;
    assert_eq!(refusal.expect_err("nobody").code(), Code::Unauthenticated);
}

//! Codes beside the password: who is asked for one, which are taken, and how often they may be wrong.

mod world;

use alone::{Client, Engine, ServiceBuilder, on_both_engines, reason};
use chassis::clock;
use contracts::caravan::identity::v1::{
    self as pb, MailKind, audit_service_client::AuditServiceClient,
    second_factor_service_client::SecondFactorServiceClient, verify_second_factor_request::Proof,
};
use data_encoding::BASE32_NOPAD;
use futures::future::join;
use identity::{domain::second_factor::MAX_TRIES_OF_CHALLENGE, second_factor::totp};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use world::{PASSWORD, World};

on_both_engines!(
    a_code_is_asked_for_once_it_is_confirmed_and_is_good_once,
    recovery_codes_are_good_once_and_made_anew,
    wrong_codes_end_the_challenge_and_have_to_wait,
    of_two_who_show_the_same_code_one_gets_in,
    who_loses_everything_is_helped_by_an_admin,
    a_password_set_by_mail_does_not_get_around_it,
);

const ADA: &str = "ada@example.org";
const KEY: &str = "a key of at least thirty-two characters";

type Factors = SecondFactorServiceClient<Client>;

/// Ada with a second factor: what her app and her paper hold.
struct Ada {
    session: pb::Session,
    factors: Factors,
    secret: Vec<u8>,
    recovery_codes: Vec<String>,
}

impl Ada {
    /// Registers, logs in, enrols and confirms.
    async fn enrolled(world: &World) -> Self {
        world.register(ADA).await;
        let session = world.log_in(ADA, PASSWORD).await.expect("registered");
        let mut factors = factors(world, &session);
        let secret = enrol(&mut factors).await;
        // The code before the present one, so that two more are good at once.
        let code = totp::code(&secret, totp::step(clock::now()));
        let answer = confirm(&mut factors, &code).await.expect("right");
        Self {
            session,
            factors,
            secret,
            recovery_codes: answer.recovery_codes,
        }
    }

    /// What the app shows after the code that confirmed it.
    fn next_code(&self) -> String {
        totp::code(&self.secret, totp::step(clock::now()) + 1)
    }

    /// A code that is wrong now and for a while.
    fn wrong_code(&self) -> String {
        let present = totp::step(clock::now());
        let near: Vec<_> = (present - 3..present + 10)
            .map(|step| totp::code(&self.secret, step))
            .collect();
        let mut codes = (0..).map(|number| format!("{number:06}"));
        codes
            .find(|code| !near.contains(code))
            .expect("one of them")
    }
}

fn factors(world: &World, session: &pb::Session) -> Factors {
    Factors::new(world.service.with_token(&session.access_token))
}

async fn enrol(factors: &mut Factors) -> Vec<u8> {
    let request = pb::EnrolSecondFactorRequest {
        password: PASSWORD.into(),
    };
    let answer = factors.enrol_second_factor(request).await;
    let answer = answer.expect("right").into_inner();
    assert!(answer.otpauth_uri.contains(&answer.secret), "{answer:?}");
    let secret = BASE32_NOPAD.decode(answer.secret.as_bytes());
    secret.expect("Base32")
}

async fn confirm(
    factors: &mut Factors,
    code: &str,
) -> Result<pb::ConfirmSecondFactorResponse, Status> {
    let request = pb::ConfirmSecondFactorRequest { code: code.into() };
    let answer = factors.confirm_second_factor(request).await?;
    Ok(answer.into_inner())
}

/// Logs in by password and answers the challenge.
async fn challenge(world: &World, password: &str) -> String {
    let session = world.log_in(ADA, password).await.expect("right");
    assert_eq!(
        (&*session.access_token, &*session.refresh_token),
        ("", ""),
        "not yet"
    );
    let challenge = session.second_factor_challenge.expect("a second factor");
    assert!(challenge.expires_in > 0);
    challenge.challenge_token
}

async fn verify(world: &World, challenge_token: &str, proof: Proof) -> Result<pb::Session, Status> {
    let request = pb::VerifySecondFactorRequest {
        challenge_token: challenge_token.into(),
        proof: Some(proof),
    };
    let mut anybody = Factors::new(world.service.anonymous());
    let answer = anybody.verify_second_factor(request).await?;
    Ok(answer.into_inner().session.expect("always there"))
}

async fn state(factors: &mut Factors) -> pb::SecondFactor {
    let answer = factors
        .get_second_factor(pb::GetSecondFactorRequest {})
        .await;
    let answer = answer.expect("signed in").into_inner();
    answer.second_factor.expect("always there")
}

/// What is remembered of the account, oldest first.
async fn remembered(world: &World, account_id: &str) -> Vec<String> {
    let admin = world
        .log_in(world::ADMIN, PASSWORD)
        .await
        .expect("an admin");
    let mut audit = AuditServiceClient::new(world.service.with_token(admin.access_token));
    let request = pb::ListAuditEntriesRequest {
        page_size: 100,
        target: account_id.to_owned(),
        ..Default::default()
    };
    let answer = audit.list_audit_entries(request).await;
    let entries = answer.expect("an admin may").into_inner().entries;
    entries
        .into_iter()
        .rev()
        .map(|entry| entry.action)
        .collect()
}

async fn a_code_is_asked_for_once_it_is_confirmed_and_is_good_once(engine: Engine) {
    let sealed = |service: ServiceBuilder| service.with("SECOND_FACTOR_KEY", KEY);
    let Some(world) = World::start_with(engine, sealed).await else {
        return;
    };
    world.register(ADA).await;
    let before = world.log_in(ADA, PASSWORD).await.expect("registered");
    let mut client = factors(&world, &before);
    let wrong = pb::EnrolSecondFactorRequest {
        password: "a guess".into(),
    };
    let refusal = client.enrol_second_factor(wrong).await;
    assert_eq!(reason(&refusal.expect_err("wrong")), "INVALID_CREDENTIALS");
    let refusal = confirm(&mut client, "000000").await.expect_err("nothing");
    assert_eq!(reason(&refusal), "SECOND_FACTOR_MISSING");

    // The second secret takes the place of the first.
    let first = enrol(&mut client).await;
    let secret = enrol(&mut client).await;
    assert_ne!(first, secret);
    let present = || totp::step(clock::now());
    let refusal = confirm(&mut client, &totp::code(&first, present())).await;
    assert_eq!(reason(&refusal.expect_err("replaced")), "CODE_INVALID");
    let session = world.log_in(ADA, PASSWORD).await.expect("not confirmed");
    assert_eq!(session.second_factor_challenge, None);
    assert!(!state(&mut client).await.enabled);

    let confirming = totp::code(&secret, present());
    let answer = confirm(&mut client, &confirming).await.expect("right");
    assert_eq!(answer.recovery_codes.len(), 10);
    world.is_told(ADA, MailKind::SecondFactorEnabled).await;
    let now = state(&mut client).await;
    assert!(now.enabled && now.enable_time.is_some() && now.recovery_codes_left == 10);
    let refusal = confirm(&mut client, &confirming).await;
    assert_eq!(reason(&refusal.expect_err("is")), "SECOND_FACTOR_ENABLED");
    let request = pb::EnrolSecondFactorRequest {
        password: PASSWORD.into(),
    };
    let refusal = client.enrol_second_factor(request).await;
    assert_eq!(reason(&refusal.expect_err("is")), "SECOND_FACTOR_ENABLED");

    let token = challenge(&world, PASSWORD).await;
    let refusal = verify(&world, &token, Proof::Code(confirming)).await;
    let refusal = refusal.expect_err("used");
    assert_eq!(
        (refusal.code(), &*reason(&refusal)),
        (Code::Unauthenticated, "CODE_INVALID")
    );
    let next = totp::code(&secret, present() + 1);
    let session = verify(&world, &token, Proof::Code(next.clone())).await;
    let session = session.expect("right");
    world::me(&mut world.with_token(&session.access_token))
        .await
        .expect("logged in");
    world
        .refresh(&session.refresh_token)
        .await
        .expect("goes on");
    let refusal = verify(&world, &token, Proof::Code(next.clone())).await;
    assert_eq!(reason(&refusal.expect_err("met")), "CHALLENGE_INVALID");
    let token = challenge(&world, PASSWORD).await;
    let refusal = verify(&world, &token, Proof::Code(next)).await;
    assert_eq!(reason(&refusal.expect_err("used")), "CODE_INVALID");
    world
        .refresh(&before.refresh_token)
        .await
        .expect("a login from before goes on");

    let log = world.service.log().join("\n");
    for secret in [
        &token,
        KEY,
        &BASE32_NOPAD.encode(&secret),
        &session.refresh_token,
    ] {
        assert!(!log.contains(secret), "{secret}");
    }
}

async fn recovery_codes_are_good_once_and_made_anew(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let mut ada = Ada::enrolled(&world).await;
    let (first, second) = (&ada.recovery_codes[0], &ada.recovery_codes[1]);
    let token = challenge(&world, PASSWORD).await;
    // However it is typed.
    let typed = first.to_lowercase().replace('-', " ");
    let session = verify(&world, &token, Proof::RecoveryCode(typed)).await;
    session.expect("right");
    let token = challenge(&world, PASSWORD).await;
    let refusal = verify(&world, &token, Proof::RecoveryCode(first.clone())).await;
    assert_eq!(reason(&refusal.expect_err("used")), "CODE_INVALID");
    assert_eq!(state(&mut ada.factors).await.recovery_codes_left, 9);

    let request = |code: String| pb::RegenerateRecoveryCodesRequest {
        password: PASSWORD.into(),
        code,
    };
    let refusal = ada
        .factors
        .regenerate_recovery_codes(request(ada.wrong_code()))
        .await;
    assert_eq!(reason(&refusal.expect_err("wrong")), "CODE_INVALID");
    let code = ada.next_code();
    let answer = ada.factors.regenerate_recovery_codes(request(code)).await;
    let new = answer.expect("right").into_inner().recovery_codes;
    assert_eq!(state(&mut ada.factors).await.recovery_codes_left, 10);
    world.is_told(ADA, MailKind::RecoveryCodesChanged).await;
    let refusal = verify(&world, &token, Proof::RecoveryCode(second.clone())).await;
    assert_eq!(reason(&refusal.expect_err("replaced")), "CODE_INVALID");
    let session = verify(&world, &token, Proof::RecoveryCode(new[0].clone())).await;
    let session = session.expect("new");

    let request = |password: &str, code: &str| pb::DisableSecondFactorRequest {
        password: password.into(),
        proof: Some(pb::disable_second_factor_request::Proof::RecoveryCode(
            code.into(),
        )),
    };
    for (password, code, why) in [
        ("a guess", &*new[1], "INVALID_CREDENTIALS"),
        (PASSWORD, &*new[0], "CODE_INVALID"),
    ] {
        let refusal = ada.factors.disable_second_factor(request(password, code));
        assert_eq!(reason(&refusal.await.expect_err("wrong")), why);
    }
    let done = ada
        .factors
        .disable_second_factor(request(PASSWORD, &new[1]));
    done.await.expect("right");
    world.is_told(ADA, MailKind::SecondFactorDisabled).await;
    let session_without = world.log_in(ADA, PASSWORD).await.expect("right");
    assert_eq!(session_without.second_factor_challenge, None);
    let told = remembered(&world, &session.account_id).await;
    for action in [
        "SECOND_FACTOR_ENABLED",
        "LOGIN_CHALLENGED",
        "RECOVERY_CODE_USED",
        "RECOVERY_CODES_MADE",
        "LOGIN_REFUSED",
        "SECOND_FACTOR_DISABLED",
    ] {
        assert!(told.iter().any(|told| told == action), "{action}: {told:?}");
    }
}

async fn wrong_codes_end_the_challenge_and_have_to_wait(engine: Engine) {
    let Some(mut world) = World::start(engine).await else {
        return;
    };
    let ada = Ada::enrolled(&world).await;
    let token = challenge(&world, PASSWORD).await;
    for _ in 0..MAX_TRIES_OF_CHALLENGE {
        let refusal = verify(&world, &token, Proof::Code(ada.wrong_code())).await;
        assert_eq!(reason(&refusal.expect_err("wrong")), "CODE_INVALID");
    }
    let right = || Proof::Code(ada.next_code());
    let refusal = verify(&world, &token, right()).await;
    assert_eq!(reason(&refusal.expect_err("over")), "CHALLENGE_INVALID");
    // Another challenge does not help, nor another process.
    world.service.crash_and_restart().await;
    let token = challenge(&world, PASSWORD).await;
    let recovery = Proof::RecoveryCode(ada.recovery_codes[0].clone());
    for proof in [right(), recovery] {
        let refusal = verify(&world, &token, proof).await.expect_err("too soon");
        assert_eq!(
            (refusal.code(), &*reason(&refusal)),
            (Code::ResourceExhausted, "TOO_MANY_FAILED_LOGINS")
        );
        let wait = refusal.get_details_retry_info();
        assert!(wait.is_some_and(|info| info.retry_delay.is_some()));
    }
    let refusal = verify(&world, "cch_nothing", right()).await;
    assert_eq!(reason(&refusal.expect_err("none")), "CHALLENGE_INVALID");
    world
        .refresh(&ada.session.refresh_token)
        .await
        .expect("who is in stays in");
}

async fn of_two_who_show_the_same_code_one_gets_in(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let ada = Ada::enrolled(&world).await;
    let one = challenge(&world, PASSWORD).await;
    let other = challenge(&world, PASSWORD).await;
    let code = ada.next_code();
    let (one, other) = join(
        verify(&world, &one, Proof::Code(code.clone())),
        verify(&world, &other, Proof::Code(code)),
    )
    .await;
    let outcomes = [one, other].map(|outcome| outcome.map_err(|refusal| reason(&refusal)));
    let refused = Err("CODE_INVALID".to_owned());
    assert_eq!(
        outcomes
            .iter()
            .filter(|outcome| **outcome == refused)
            .count(),
        1,
        "{outcomes:?}"
    );
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
}

async fn who_loses_everything_is_helped_by_an_admin(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let mut ada = Ada::enrolled(&world).await;
    let waiting = challenge(&world, PASSWORD).await;
    let admin = world
        .log_in(world::ADMIN, PASSWORD)
        .await
        .expect("an admin");
    let mut helper = factors(&world, &admin);
    let reset = |account_id: &str| pb::ResetSecondFactorRequest {
        account_id: account_id.into(),
    };
    let account = ada.session.account_id.clone();
    let refusal = ada.factors.reset_second_factor(reset(&account)).await;
    assert_eq!(
        refusal.expect_err("no admin").code(),
        Code::PermissionDenied
    );
    let refusal = helper.reset_second_factor(reset(&admin.account_id)).await;
    assert_eq!(reason(&refusal.expect_err("own")), "OWN_SECOND_FACTOR");
    for _ in 0..2 {
        let done = helper.reset_second_factor(reset(&account)).await;
        done.expect("an admin may");
    }
    let refusal = verify(&world, &waiting, Proof::Code(ada.next_code())).await;
    assert_eq!(reason(&refusal.expect_err("over")), "CHALLENGE_INVALID");
    let session = world.log_in(ADA, PASSWORD).await.expect("right");
    assert_eq!(session.second_factor_challenge, None);
    assert_eq!(state(&mut ada.factors).await, pb::SecondFactor::default());
    let told = remembered(&world, &account).await;
    world.is_told(ADA, MailKind::SecondFactorReset).await;
    let resets = told.iter().filter(|told| *told == "SECOND_FACTOR_RESET");
    assert_eq!(resets.count(), 1, "the second changed nothing: {told:?}");
}

async fn a_password_set_by_mail_does_not_get_around_it(engine: Engine) {
    const NEW_PASSWORD: &str = "better horse 2";
    let Some(world) = World::start(engine).await else {
        return;
    };
    let ada = Ada::enrolled(&world).await;
    let waiting = challenge(&world, PASSWORD).await;
    let request = pb::RequestPasswordResetRequest { email: ADA.into() };
    let answer = world.anybody().request_password_reset(request).await;
    answer.expect("always");
    let request = pb::ResetPasswordRequest {
        token: world.mail(ADA).await.expect("sent").token,
        new_password: NEW_PASSWORD.into(),
    };
    let done = world.anybody().reset_password(request).await;
    done.expect("a good token");
    let refusal = verify(&world, &waiting, Proof::Code(ada.next_code())).await;
    assert_eq!(
        reason(&refusal.expect_err("of the old password")),
        "CHALLENGE_INVALID"
    );
    let token = challenge(&world, NEW_PASSWORD).await;
    let session = verify(&world, &token, Proof::Code(ada.next_code())).await;
    let session = session.expect("both are right");
    // Whoever closes the account takes all of it along.
    let mut client = world.with_token(&session.access_token);
    let request = pb::CloseMyAccountRequest {
        password: NEW_PASSWORD.into(),
    };
    client.close_my_account(request).await.expect("right");
    let closed = world.log_in(ADA, NEW_PASSWORD).await;
    assert_eq!(reason(&closed.expect_err("closed")), "INVALID_CREDENTIALS");
}

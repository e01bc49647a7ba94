//! Logins that go on: refreshed, listed and ended, and what becomes of a stolen refresh token.

mod world;

use alone::{Client, Engine, on_both_engines, reason};
use contracts::caravan::identity::v1::{
    self as pb, identity_service_client::IdentityServiceClient,
};
use futures::future::join_all;
use tonic::{Code, Status};
use uuid::Uuid;

use world::{PASSWORD, World, me};

on_both_engines!(
    a_login_goes_on_with_a_new_token_each_time,
    a_used_token_that_comes_again_ends_the_session,
    two_that_refresh_at_once_get_the_same,
    a_lost_answer_is_told_again,
    whoever_logs_out_is_out,
    a_person_sees_and_ends_her_own_sessions_only,
    a_closed_door_stays_closed,
    forged_tokens_end_nothing,
);

const ADA: &str = "ada@example.org";

/// Ada, logged in.
async fn ada(engine: Engine) -> Option<(World, pb::Session)> {
    let world = World::start(engine).await?;
    world.register(ADA).await;
    let session = world.log_in(ADA, PASSWORD).await.expect("registered");
    Some((world, session))
}

async fn sessions(client: &mut IdentityServiceClient<Client>) -> Vec<pb::SessionInfo> {
    let answer = client.list_sessions(pb::ListSessionsRequest {}).await;
    answer.expect("signed in").into_inner().sessions
}

fn refused(answer: Result<pb::Session, Status>) {
    let refusal = answer.expect_err("no longer good");
    assert_eq!(
        (refusal.code(), reason(&refusal).as_str()),
        (Code::Unauthenticated, "REFRESH_TOKEN_INVALID")
    );
}

async fn a_login_goes_on_with_a_new_token_each_time(engine: Engine) {
    let Some((mut world, mut session)) = ada(engine).await else {
        return;
    };
    for _ in 0..3 {
        let next = world.refresh(&session.refresh_token).await.expect("good");
        assert_ne!(next.refresh_token, session.refresh_token);
        assert_eq!(next.session_id, session.session_id);
        me(&mut world.with_token(&next.access_token))
            .await
            .expect("signed in");
        session = next;
        world.service.crash_and_restart().await;
    }
    // A refresh token opens no doors by itself.
    let refusal = me(&mut world.with_token(&session.refresh_token)).await;
    assert_eq!(
        reason(&refusal.expect_err("no access token")),
        "TOKEN_INVALID"
    );
    let log = world.service.log().join("\n");
    assert!(!log.contains(&session.refresh_token) && !log.contains("crt_"));
}

async fn a_used_token_that_comes_again_ends_the_session(engine: Engine) {
    let Some((world, stolen)) = ada(engine).await else {
        return;
    };
    let other = world.log_in(ADA, PASSWORD).await.expect("another device");
    let second = world.refresh(&stolen.refresh_token).await.expect("good");
    let third = world.refresh(&second.refresh_token).await.expect("good");
    refused(world.refresh(&stolen.refresh_token).await);
    refused(world.refresh(&third.refresh_token).await);
    world
        .refresh(&other.refresh_token)
        .await
        .expect("another session is not touched");
}

async fn two_that_refresh_at_once_get_the_same(engine: Engine) {
    let Some((world, session)) = ada(engine).await else {
        return;
    };
    let answers = join_all((0..8).map(|_| world.refresh(&session.refresh_token))).await;
    let tokens: Vec<_> = answers
        .into_iter()
        .map(|answer| answer.expect("all of them").refresh_token)
        .collect();
    assert!(tokens.iter().all(|token| *token == tokens[0]), "{tokens:?}");
    world.refresh(&tokens[0]).await.expect("it goes on");
}

async fn a_lost_answer_is_told_again(engine: Engine) {
    let Some((mut world, session)) = ada(engine).await else {
        return;
    };
    let lost = world.refresh(&session.refresh_token).await.expect("good");
    world.service.crash_and_restart().await;
    let again = world.refresh(&session.refresh_token).await;
    // On a machine so busy that the restart took longer than the answer is repeated, the session has ended instead.
    match again {
        Ok(again) => assert_eq!(again.refresh_token, lost.refresh_token),
        Err(refusal) => refused(Err(refusal)),
    }
}

async fn whoever_logs_out_is_out(engine: Engine) {
    let Some((world, session)) = ada(engine).await else {
        return;
    };
    let end = || async {
        let request = pb::EndSessionRequest {
            refresh_token: session.refresh_token.clone(),
        };
        world.anybody().end_session(request).await
    };
    end().await.expect("out");
    end().await.expect("still out");
    refused(world.refresh(&session.refresh_token).await);
    let request = pb::EndSessionRequest {
        refresh_token: "no token at all".into(),
    };
    world.anybody().end_session(request).await.expect("nothing");
}

async fn a_person_sees_and_ends_her_own_sessions_only(engine: Engine) {
    let Some((world, first)) = ada(engine).await else {
        return;
    };
    let second = world.log_in(ADA, PASSWORD).await.expect("registered");
    let mut ada = world.with_token(&first.access_token);
    let listed: Vec<_> = sessions(&mut ada)
        .await
        .into_iter()
        .map(|session| (session.session_id, session.client))
        .collect();
    let client = "a test".to_owned();
    assert_eq!(
        listed,
        [
            (second.session_id.clone(), client.clone()),
            (first.session_id.clone(), client)
        ]
    );

    world.register("bob@example.org").await;
    let theirs = world.log_in("bob@example.org", PASSWORD).await;
    let bob_session = theirs.expect("registered");
    let mut bob = world.with_token(&bob_session.access_token);
    let end = |id: &str| pb::DeleteSessionRequest {
        session_id: id.into(),
    };
    let unknown = Uuid::now_v7().to_string();
    let answers = [
        bob.delete_session(end(&first.session_id)).await,
        bob.delete_session(end(&unknown)).await,
    ];
    for answer in answers {
        let refusal = answer.expect_err("not hers");
        assert_eq!(
            (refusal.code(), reason(&refusal).as_str()),
            (Code::NotFound, "SESSION_NOT_FOUND")
        );
    }

    ada.delete_session(end(&second.session_id))
        .await
        .expect("hers");
    refused(world.refresh(&second.refresh_token).await);
    let ended = ada.end_all_sessions(pb::EndAllSessionsRequest {}).await;
    assert_eq!(ended.expect("hers").into_inner().ended, 1);
    refused(world.refresh(&first.refresh_token).await);
    assert_eq!(sessions(&mut bob).await.len(), 1);
}

async fn a_closed_door_stays_closed(engine: Engine) {
    let Some((world, session)) = ada(engine).await else {
        return;
    };
    let account_id = session.account_id.clone();
    let mut admin = world.admin().await;
    let request = pb::DeactivateAccountRequest {
        account_id: account_id.clone(),
    };
    admin.deactivate_account(request).await.expect("known");
    refused(world.refresh(&session.refresh_token).await);
    let request = pb::ReactivateAccountRequest { account_id };
    admin.reactivate_account(request).await.expect("known");
    refused(world.refresh(&session.refresh_token).await);
    world.log_in(ADA, PASSWORD).await.expect("active again");
}

async fn forged_tokens_end_nothing(engine: Engine) {
    let Some((world, session)) = ada(engine).await else {
        return;
    };
    let next = world.refresh(&session.refresh_token).await.expect("good");
    let mut forged = next.refresh_token.clone();
    let last = if forged.ends_with('A') { 'E' } else { 'A' };
    forged.pop();
    forged.push(last);
    for text in [
        forged.as_str(),
        "crt_",
        "crt_AAAA",
        "x",
        &session.access_token[..199],
    ] {
        refused(world.refresh(text).await);
        let request = pb::EndSessionRequest {
            refresh_token: text.into(),
        };
        world.anybody().end_session(request).await.expect("nothing");
    }
    world
        .refresh(&next.refresh_token)
        .await
        .expect("it goes on");
}

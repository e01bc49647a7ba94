//! What ends access tokens before their time, at the replica that is asked and at every other one.

mod world;

use alone::{Client, Engine, on_both_engines, reason, wait::until};
use contracts::caravan::identity::v1::{
    self as pb, client_service_client::ClientServiceClient,
    identity_service_client::IdentityServiceClient, o_auth_service_client::OAuthServiceClient,
};
use tonic::Request;

use world::{PASSWORD, World, me};

on_both_engines!(
    a_session_takes_its_tokens_along,
    what_ends_all_sessions_ends_all_tokens,
    other_roles_want_a_new_token,
    a_disabled_client_is_out_at_once,
    replicas_tell_each_other_and_remember,
);

const ADA: &str = "ada@example.org";

/// Ada, logged in.
async fn ada(engine: Engine) -> Option<(World, pb::Session)> {
    let world = World::start(engine).await?;
    world.register(ADA).await;
    let session = world.log_in(ADA, PASSWORD).await.expect("registered");
    Some((world, session))
}

/// What is said to whoever shows this token.
async fn told(client: &mut IdentityServiceClient<Client>) -> String {
    me(client)
        .await
        .map_or_else(|refusal| reason(&refusal), |_| "welcome".into())
}

/// Waits until this token counts no more.
async fn until_revoked(world: &World, token: &str) {
    until("the token is revoked", || async {
        let told = told(&mut world.with_token(token)).await;
        if told == "TOKEN_REVOKED" {
            Ok(())
        } else {
            Err(told)
        }
    })
    .await;
}

async fn is_good(world: &World, token: &str) {
    assert_eq!(told(&mut world.with_token(token)).await, "welcome");
}

async fn a_session_takes_its_tokens_along(engine: Engine) {
    let Some((world, stays)) = ada(engine).await else {
        return;
    };
    let log_in = || async { world.log_in(ADA, PASSWORD).await.expect("registered") };

    let ended = log_in().await;
    let request = pb::EndSessionRequest {
        refresh_token: ended.refresh_token.clone(),
    };
    world.anybody().end_session(request).await.expect("out");
    until_revoked(&world, &ended.access_token).await;

    // All that it gave out, not only the newest.
    let deleted = log_in().await;
    let next = world.refresh(&deleted.refresh_token).await.expect("good");
    is_good(&world, &deleted.access_token).await;
    let request = pb::DeleteSessionRequest {
        session_id: deleted.session_id.clone(),
    };
    let mut ada = world.with_token(&stays.access_token);
    ada.delete_session(request).await.expect("hers");
    until_revoked(&world, &deleted.access_token).await;
    until_revoked(&world, &next.access_token).await;

    let stolen = log_in().await;
    let second = world.refresh(&stolen.refresh_token).await.expect("good");
    let third = world.refresh(&second.refresh_token).await.expect("good");
    world
        .refresh(&stolen.refresh_token)
        .await
        .expect_err("two have it");
    for token in [&stolen, &second, &third].map(|session| &session.access_token) {
        until_revoked(&world, token).await;
    }
    is_good(&world, &stays.access_token).await;
}

async fn what_ends_all_sessions_ends_all_tokens(engine: Engine) {
    let Some((world, _)) = ada(engine).await else {
        return;
    };
    let log_in = async |password: &str| world.log_in(ADA, password).await.expect("hers");
    let mut password = PASSWORD.to_owned();
    for way in ["everywhere", "password", "inactive", "closed"] {
        let (first, second) = (log_in(&password).await, log_in(&password).await);
        let mut ada = world.with_token(&first.access_token);
        let account_id = first.account_id.clone();
        match way {
            "everywhere" => {
                let all = ada.end_all_sessions(pb::EndAllSessionsRequest {}).await;
                all.expect("hers");
            }
            "password" => {
                let new_password = "better horse 2".to_owned();
                let request = pb::ChangePasswordRequest {
                    current_password: password,
                    new_password: new_password.clone(),
                };
                ada.change_password(request).await.expect("hers");
                password = new_password;
            }
            "inactive" => {
                let mut admin = world.admin().await;
                let request = pb::DeactivateAccountRequest {
                    account_id: account_id.clone(),
                };
                admin.deactivate_account(request).await.expect("known");
                let request = pb::ReactivateAccountRequest { account_id };
                admin.reactivate_account(request).await.expect("known");
            }
            _ => {
                let password = password.clone();
                let request = pb::CloseMyAccountRequest { password };
                ada.close_my_account(request).await.expect("hers");
            }
        }
        for session in [first, second] {
            until_revoked(&world, &session.access_token).await;
        }
    }
}

async fn other_roles_want_a_new_token(engine: Engine) {
    let Some((world, session)) = ada(engine).await else {
        return;
    };
    let set = async |roles: &[&str]| {
        let request = pb::SetAccountRolesRequest {
            account_id: session.account_id.clone(),
            roles: roles.iter().map(ToString::to_string).collect(),
        };
        let mut admin = world.admin().await;
        admin.set_account_roles(request).await.expect("known");
    };
    set(&["admin"]).await;
    until_revoked(&world, &session.access_token).await;
    // The session goes on, with what its person is now.
    let as_admin = world.refresh(&session.refresh_token).await.expect("good");
    let list = pb::ListPendingMailsRequest::default();
    let mut ada = world.with_token(&as_admin.access_token);
    ada.list_pending_mails(list.clone())
        .await
        .expect("an admin");
    set(&["customer"]).await;
    until_revoked(&world, &as_admin.access_token).await;
    let as_customer = world.refresh(&as_admin.refresh_token).await.expect("good");
    let mut ada = world.with_token(&as_customer.access_token);
    let refusal = ada.list_pending_mails(list).await.expect_err("no admin");
    assert_eq!(reason(&refusal), "ACCESS_DENIED");
    is_good(&world, &as_customer.access_token).await;
}

async fn a_disabled_client_is_out_at_once(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let admin = world.log_in(world::ADMIN, PASSWORD).await.expect("at boot");
    let mut clients = ClientServiceClient::new(world.service.with_token(&admin.access_token));
    let request = pb::CreateClientRequest {
        client_id: "erp".into(),
        description: String::new(),
        scopes: vec!["accounts:read".into()],
    };
    let made = clients.create_client(request).await.expect("an admin may");
    let secret = made.into_inner().client_secret;
    let token = || async { world.service_token("erp", &secret).await.expect("its own") };
    let (first, second) = (token().await, token().await);
    let ask = async |token: &str| {
        let request = pb::BatchGetAccountsRequest {
            account_ids: vec![admin.account_id.clone()],
        };
        let answer = world.with_token(token).batch_get_accounts(request).await;
        answer.map_or_else(|refusal| reason(&refusal), |_| "welcome".into())
    };
    assert_eq!(
        (ask(&first).await, ask(&second).await),
        ("welcome".into(), "welcome".into())
    );

    // One token of it, and then all.
    let request = pb::RevokeTokenRequest {
        token: first.clone(),
        client_id: "erp".into(),
        client_secret: secret.clone(),
        ..Default::default()
    };
    let mut oauth = OAuthServiceClient::new(world.service.anonymous());
    oauth.revoke_token(request).await.expect("its own");
    let until_out = async |token: &str| {
        until("the client is out", || async {
            let told = ask(token).await;
            if told == "TOKEN_REVOKED" {
                Ok(())
            } else {
                Err(told)
            }
        })
        .await;
    };
    until_out(&first).await;
    assert_eq!(ask(&second).await, "welcome");
    let client_id = "erp".to_owned();
    let request = pb::DisableClientRequest { client_id };
    clients.disable_client(request).await.expect("known");
    until_out(&second).await;
    let client_id = "erp".to_owned();
    let request = pb::EnableClientRequest { client_id };
    clients.enable_client(request).await.expect("known");
    assert_eq!(
        ask(&token().await).await,
        "welcome",
        "what it gets now counts"
    );
}

async fn replicas_tell_each_other_and_remember(engine: Engine) {
    let Some((mut world, session)) = ada(engine).await else {
        return;
    };
    let token = &session.access_token;
    world
        .service
        .beside(async |replica| {
            let ask = || async {
                let mut request = Request::new(pb::GetMyAccountRequest {});
                let bearer = format!("Bearer {token}").parse().expect("ASCII");
                request.metadata_mut().insert("authorization", bearer);
                let mut there = IdentityServiceClient::new(replica.clone());
                let answer = there.get_my_account(request).await;
                answer.map_or_else(|refusal| reason(&refusal), |_| "welcome".into())
            };
            assert_eq!(ask().await, "welcome");
            let request = pb::EndSessionRequest {
                refresh_token: session.refresh_token.clone(),
            };
            world.anybody().end_session(request).await.expect("out");
            until("the other replica has heard of it", || async {
                let told = ask().await;
                if told == "TOKEN_REVOKED" {
                    Ok(())
                } else {
                    Err(told)
                }
            })
            .await;
        })
        .await;
    world.service.crash_and_restart().await;
    until_revoked(&world, token).await;
}

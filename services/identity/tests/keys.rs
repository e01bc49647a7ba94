//! Signing keys: rotated by command and by age, and what becomes of those that were before.

mod world;

use alone::{
    Client, Engine, ServiceBuilder, on_both_engines, reason, violated_fields, wait::until,
};
use contracts::caravan::identity::v1::{
    self as pb, SigningKeyState, signing_key_service_client::SigningKeyServiceClient,
};
use tonic::Code;

use world::{ADMIN, ORDERING_SECRET, PASSWORD, World};

on_both_engines!(
    a_new_key_is_published_before_it_signs,
    a_compromised_key_counts_no_more,
    keys_grow_old,
);

async fn start(
    engine: Engine,
    more: impl FnOnce(ServiceBuilder) -> ServiceBuilder,
) -> Option<(World, SigningKeyServiceClient<Client>)> {
    let world = World::start_with(engine, more).await?;
    let session = world.log_in(ADMIN, PASSWORD).await.expect("made at boot");
    let client = world.service.with_token(session.access_token);
    Some((world, SigningKeyServiceClient::new(client)))
}

async fn list(keys: &mut SigningKeyServiceClient<Client>) -> Vec<pb::SigningKey> {
    let answer = keys.list_signing_keys(pb::ListSigningKeysRequest {}).await;
    answer.expect("an admin").into_inner().signing_keys
}

fn states(keys: &[pb::SigningKey]) -> Vec<SigningKeyState> {
    keys.iter().map(pb::SigningKey::state).collect()
}

fn rotation(compromised: bool) -> pb::RotateSigningKeysRequest {
    pb::RotateSigningKeysRequest {
        reason: "a test".into(),
        compromised,
    }
}

/// The key that signs new tokens.
async fn signer(world: &World) -> String {
    let token = world.service_token("ordering", ORDERING_SECRET).await;
    let header = jsonwebtoken::decode_header(token.expect("its own"));
    header.expect("a JWT").kid.expect("named")
}

async fn a_new_key_is_published_before_it_signs(engine: Engine) {
    let Some((world, mut keys)) = start(engine, |service| service).await else {
        return;
    };
    let first = list(&mut keys).await;
    assert_eq!(states(&first), [SigningKeyState::Signing]);
    assert_eq!(signer(&world).await, first[0].key_id);
    let rotated = keys.rotate_signing_keys(rotation(false)).await;
    let rotated = rotated.expect("an admin").into_inner().signing_keys;
    assert_eq!(
        states(&rotated),
        [SigningKeyState::Next, SigningKeyState::Signing]
    );
    assert!(rotated[1].expire_time.is_some() && rotated[0].expire_time.is_none());
    let published: Vec<_> = world.keys().await.into_iter().map(|key| key.kid).collect();
    let both: Vec<_> = rotated.iter().map(|key| key.key_id.clone()).collect();
    assert_eq!(published, both);
    assert_eq!(signer(&world).await, first[0].key_id);
    // One that waits is enough.
    let again = keys.rotate_signing_keys(rotation(false)).await;
    assert_eq!(again.expect("an admin").into_inner().signing_keys.len(), 2);

    let mut silent = rotation(false);
    silent.reason = String::new();
    let refusal = keys
        .rotate_signing_keys(silent)
        .await
        .expect_err("no reason");
    assert_eq!(violated_fields(&refusal), ["reason"]);
    let mut nobody = SigningKeyServiceClient::new(world.service.anonymous());
    let refusal = nobody.rotate_signing_keys(rotation(true)).await;
    assert_eq!(refusal.expect_err("nobody").code(), Code::Unauthenticated);
}

async fn a_compromised_key_counts_no_more(engine: Engine) {
    let Some((world, mut keys)) = start(engine, |service| service).await else {
        return;
    };
    let first = signer(&world).await;
    let rotated = keys.rotate_signing_keys(rotation(true)).await;
    let rotated = rotated.expect("an admin").into_inner().signing_keys;
    assert_eq!(states(&rotated), [SigningKeyState::Signing]);
    assert_ne!(rotated[0].key_id, first);
    assert_eq!(signer(&world).await, rotated[0].key_id);
    assert_eq!(world.keys().await.len(), 1);
    // Whoever asks with a new token makes the service look at its keys again: the old one is gone.
    let session = world.log_in(ADMIN, PASSWORD).await.expect("as before");
    let mut admin = SigningKeyServiceClient::new(world.service.with_token(session.access_token));
    until("the old key counts no more", || async {
        let _ = admin
            .clone()
            .list_signing_keys(pb::ListSigningKeysRequest {})
            .await;
        match keys
            .clone()
            .list_signing_keys(pb::ListSigningKeysRequest {})
            .await
        {
            Err(refusal) if reason(&refusal) == "TOKEN_INVALID" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert_eq!(list(&mut admin).await.len(), 1);
}

async fn keys_grow_old(engine: Engine) {
    let young = |service: ServiceBuilder| {
        service
            .with("SIGNING_KEY_MAX_AGE", "11s")
            .with("SIGNING_KEY_PUBLISH_AHEAD", "10s")
    };
    let Some((_world, keys)) = start(engine, young).await else {
        return;
    };
    until("a second key is made", || async {
        let keys = list(&mut keys.clone()).await;
        (keys.len() > 1).then_some(()).ok_or(states(&keys))
    })
    .await;
}

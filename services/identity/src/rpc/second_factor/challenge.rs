//! What a login answers whose password was right, but which needs a code.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chassis::clock;
use contracts::caravan::identity::v1 as pb;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::Rpc;
use crate::{
    domain::{
        audit::{Action, Entry},
        second_factor::{CHALLENGE_LIFETIME, Challenge},
    },
    error::Error,
    store,
    tokens::refresh,
};

/// How every challenge begins, so that people and scanners see what they have found.
const PREFIX: &str = "cch_";

/// A challenge for this login, where the account's logins need a code.
pub(in crate::rpc) async fn begin(
    rpc: &Rpc,
    account: Uuid,
    client: String,
) -> Result<Option<pb::SecondFactorChallenge>, Error> {
    let factor = store::second_factors::find(rpc.db.read(), account).await?;
    if factor.is_none_or(|factor| factor.enabled.is_none()) {
        return Ok(None);
    }
    let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(refresh::random()?));
    let hash = &hash(&token);
    let challenge = &Challenge::begin(Uuid::now_v7(), account, client, clock::now());
    rpc.db
        .write(|tx| async move {
            store::challenges::insert(&tx, challenge, hash.clone()).await?;
            let entry = Entry::by_stranger(Action::LoginChallenged, Some(account));
            Ok::<_, Error>(store::audit::append(&tx, entry).await?)
        })
        .await?;
    Ok(Some(pb::SecondFactorChallenge {
        challenge_token: token,
        expires_in: i32::try_from(CHALLENGE_LIFETIME.whole_seconds()).unwrap_or(i32::MAX),
    }))
}

/// What is kept of a challenge's token.
pub(super) fn hash(token: &str) -> Vec<u8> {
    Sha256::digest(token).to_vec()
}

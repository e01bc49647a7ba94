//! Trades e-mail and password for an access token.
//!
//! An unknown address and a wrong password get the same answer after the same work.

use std::{sync::PoisonError, time::Instant};

use chassis::Call;
use contracts::caravan::identity::v1 as pb;
use secrecy::SecretString;
use uuid::Uuid;

use super::Rpc;
use crate::{domain::email::Email, error::Error, store};

pub(super) async fn handle(
    rpc: &Rpc,
    _call: Call,
    request: pb::CreateSessionRequest,
) -> Result<pb::CreateSessionResponse, Error> {
    let password = SecretString::from(request.password);
    let email = Email::parse(&request.email)
        .ok_or_else(|| Error::invalid("email", "must be an e-mail address"))?;
    let throttle = || rpc.throttle.lock().unwrap_or_else(PoisonError::into_inner);
    throttle()
        .check(email.as_str(), Instant::now())
        .map_err(Error::TooManyFailures)?;

    let account = store::accounts::find_by_email(rpc.db.read(), &email).await?;
    // Asked for nobody too, so that both ways cost the same.
    let id = account
        .as_ref()
        .map_or(Uuid::nil(), |account| account.parts().id);
    let hash = store::accounts::password_hash(rpc.db.read(), id).await?;
    let right = rpc.passwords.verify(password, hash).await?;
    throttle()
        .settle(email.as_str(), right, Instant::now())
        .map_err(Error::TooManyFailures)?;

    let account = account.filter(|_| right).ok_or(Error::InvalidCredentials)?;
    if !account.is_active() {
        return Err(Error::Inactive);
    }
    let token = rpc.tokens.for_account(&account, chassis::clock::now())?;
    Ok(pb::CreateSessionResponse {
        session: Some(pb::Session {
            access_token: token.text,
            token_type: "Bearer".to_owned(),
            expires_in: token.expires_in_s,
            account_id: id.to_string(),
        }),
    })
}

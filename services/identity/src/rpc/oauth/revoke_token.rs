//! Revokes a token.

use chassis::{Call, clock};
use contracts::caravan::identity::v1 as pb;
use uuid::Uuid;

use super::{OAuth, OAuthError, asker::Asker, credentials::Authorization};
use crate::{
    domain::{
        audit::{Action, Entry},
        client::REVOKE,
        revocation::Revocation,
    },
    error::Error,
    store,
    tokens::refresh::RefreshToken,
};

pub(super) async fn handle(
    rpc: &OAuth,
    call: Call,
    shown: Authorization,
    request: pb::RevokeTokenRequest,
) -> Result<pb::RevokeTokenResponse, Error> {
    let form = (request.client_id, request.client_secret);
    let asker = Asker::of(rpc, &call, (shown, form), REVOKE).await?;
    if request.token.is_empty() {
        return Err(OAuthError::InvalidRequest("token is missing").into());
    }
    match RefreshToken::read(&request.token) {
        Some(token) => refresh_token(rpc, &asker, &token).await?,
        None => access_token(rpc, &asker, &request.token).await?,
    }
    Ok(pb::RevokeTokenResponse {})
}

/// Ends the session of a refresh token, also of one that was used: whoever has it wants an end of it.
async fn refresh_token(rpc: &OAuth, asker: &Asker, token: &RefreshToken) -> Result<(), Error> {
    let moment = rpc.tokens.moment(clock::now());
    rpc.db
        .write(|tx| async move {
            let session = store::sessions::find(&tx, token.session).await?;
            let Some(session) = session.filter(|session| token.is_of(session)) else {
                return Ok(());
            };
            if !asker.may(None) {
                return Err(OAuthError::UnauthorizedClient.into());
            }
            store::sessions::end(&tx, session.id, session.account, moment).await?;
            let entry = Entry::new(asker.label.clone(), Action::SessionEnded, session.account);
            store::audit::append(&tx, entry.with(session.id)).await?;
            Ok::<_, Error>(())
        })
        .await
}

async fn access_token(rpc: &OAuth, asker: &Asker, token: &str) -> Result<(), Error> {
    let Some(claims) = rpc.tokens.read(token, clock::now()) else {
        return Ok(());
    };
    if !asker.may(claims.client_id.as_deref()) {
        return Err(OAuthError::UnauthorizedClient.into());
    }
    let Ok(id) = Uuid::parse_str(&claims.jti) else {
        return Ok(());
    };
    let revocation = Revocation::for_good(id, rpc.tokens.moment(clock::now()));
    rpc.db
        .write(|tx| async move { store::revoked_tokens::put(&tx, vec![revocation]).await })
        .await?;
    let (actor, sub, kind) = (&*asker.label, claims.sub, claims.kind.as_str());
    tracing::info!(actor, sub, kind, "access token revoked");
    Ok(())
}

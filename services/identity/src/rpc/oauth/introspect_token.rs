//! Says what a token is good for now.

use chassis::{
    Call,
    auth::{Claims, TokenKind},
    clock,
};
use contracts::caravan::identity::v1 as pb;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{OAuth, OAuthError, asker::Asker, credentials::Authorization};
use crate::{
    domain::{account::State, client::INTROSPECT, session::Shown},
    error::Error,
    store,
    tokens::refresh::RefreshToken,
};

pub(super) async fn handle(
    rpc: &OAuth,
    call: Call,
    shown: Authorization,
    request: pb::IntrospectTokenRequest,
) -> Result<pb::IntrospectTokenResponse, Error> {
    let form = (request.client_id, request.client_secret);
    let asker = Asker::of(rpc, &call, (shown, form), INTROSPECT).await?;
    if request.token.is_empty() {
        return Err(OAuthError::InvalidRequest("token is missing").into());
    }
    let now = clock::now();
    let good = match RefreshToken::read(&request.token) {
        Some(token) if asker.may(None) => refresh_token(rpc, &token, now).await?,
        Some(_) => None,
        None => match rpc.tokens.read(&request.token, now) {
            Some(claims) if asker.may(claims.client_id.as_deref()) => {
                let stands = stands(rpc, &claims, now).await?;
                stands.then(|| access_token(claims))
            }
            _ => None,
        },
    };
    // Of a token that is no good, or none of the asker's business, nothing else is told.
    Ok(good.unwrap_or_else(|| pb::IntrospectTokenResponse {
        active: Some(false),
        ..Default::default()
    }))
}

/// Whether nothing has happened since the token was made that ends it.
async fn stands(rpc: &OAuth, claims: &Claims, now: OffsetDateTime) -> Result<bool, Error> {
    let db = rpc.db.read();
    let ids = claims.revocable_by().into_iter().flatten().collect();
    let made = clock::from_us(i64::try_from(claims.made_us()).unwrap_or(i64::MAX));
    let revocations = store::revoked_tokens::of(db, ids).await?;
    if revocations
        .iter()
        .any(|revocation| revocation.ends_one_made(made))
    {
        return Ok(false);
    }
    match claims.kind {
        TokenKind::User => {
            let Ok(account) = Uuid::parse_str(&claims.sub) else {
                return Ok(false);
            };
            let session = match claims.sid {
                Some(session) => store::sessions::find(db, session).await?,
                None => None,
            };
            let goes_on = session.is_some_and(|session| now < session.ends());
            Ok(goes_on && is_active(rpc, account).await?)
        }
        TokenKind::Service if rpc.services.has(&claims.sub) => Ok(true),
        TokenKind::Service | TokenKind::Client => {
            let client = store::clients::find(db, &claims.sub).await?;
            Ok(client.is_some_and(|client| !client.is_disabled))
        }
    }
}

async fn is_active(rpc: &OAuth, account: Uuid) -> Result<bool, Error> {
    let account = store::accounts::find(rpc.db.read(), account).await?;
    Ok(account.is_some_and(|account| account.parts().state == State::Active))
}

fn access_token(claims: Claims) -> pb::IntrospectTokenResponse {
    pb::IntrospectTokenResponse {
        active: Some(true),
        scope: claims.scope,
        client_id: claims.client_id,
        token_type: Some("Bearer".to_owned()),
        exp: seconds(claims.exp),
        iat: seconds(claims.iat),
        nbf: seconds(claims.nbf),
        sub: Some(claims.sub),
        aud: Some(claims.aud),
        iss: Some(claims.iss),
        jti: Some(claims.jti),
        kind: Some(claims.kind.as_str().to_owned()),
        roles: claims.roles,
    }
}

async fn refresh_token(
    rpc: &OAuth,
    token: &RefreshToken,
    now: OffsetDateTime,
) -> Result<Option<pb::IntrospectTokenResponse>, Error> {
    let session = store::sessions::find(rpc.db.read(), token.session).await?;
    let session = session.filter(|session| token.is_of(session));
    let Some(session) = session.filter(|s| s.show(token.generation, now) == Shown::Newest) else {
        return Ok(None);
    };
    if !is_active(rpc, session.account).await? {
        return Ok(None);
    }
    let time = |time: OffsetDateTime| u64::try_from(time.unix_timestamp()).ok().and_then(seconds);
    Ok(Some(pb::IntrospectTokenResponse {
        active: Some(true),
        token_type: Some("refresh_token".to_owned()),
        exp: time(session.ends()),
        iat: time(session.refreshed),
        sub: Some(session.account.to_string()),
        iss: Some(rpc.tokens.issuer().to_owned()),
        kind: Some(TokenKind::User.as_str().to_owned()),
        ..Default::default()
    }))
}

fn seconds(time: u64) -> Option<u32> {
    u32::try_from(time).ok()
}

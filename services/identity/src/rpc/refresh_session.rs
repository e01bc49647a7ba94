//! Trades a refresh token for new tokens.

use chassis::Call;
use contracts::caravan::identity::v1 as pb;
use time::OffsetDateTime;

use super::Rpc;
use crate::{
    domain::{
        audit::{Action, Entry},
        session::{Session, Shown},
    },
    error::Error,
    store,
    tokens::refresh::RefreshToken,
};

/// Tries where several come with the same token at once: one of them is first, the others see what it did.
const MAX_TRIES: usize = 3;

pub(super) async fn handle(
    rpc: &Rpc,
    _call: Call,
    request: pb::RefreshSessionRequest,
) -> Result<pb::RefreshSessionResponse, Error> {
    let token = &RefreshToken::read(&request.refresh_token).ok_or(Error::InvalidRefreshToken)?;
    let now = chassis::clock::now();
    let mut tries = 1;
    let session = loop {
        match refresh(rpc, token, now).await {
            Err(Error::Store(chassis::db::Error::Conflict)) if tries < MAX_TRIES => tries += 1,
            session => break session?,
        }
    };
    let session = session.ok_or(Error::InvalidRefreshToken)?;
    let account = store::accounts::find(rpc.db.read(), session.account)
        .await?
        .ok_or(Error::InvalidRefreshToken)?;
    if !account.is_active() {
        return Err(Error::Inactive);
    }
    Ok(pb::RefreshSessionResponse {
        session: Some(rpc.tokens_of(&session, &account, now)?),
    })
}

/// The session as it goes on; `None` where the token is good for nothing. A stolen one ends the session, which must be kept:
/// so it is no error here.
async fn refresh(
    rpc: &Rpc,
    token: &RefreshToken,
    now: OffsetDateTime,
) -> Result<Option<Session>, Error> {
    rpc.db
        .write(|tx| async move {
            let Some(mut session) = store::sessions::find(&tx, token.session)
                .await?
                .filter(|session| token.is_of(session))
            else {
                return Ok(None);
            };
            match session.show(token.generation, now) {
                Shown::Newest => {
                    session.refresh(now);
                    store::sessions::save(&tx, &session).await?;
                    Ok(Some(session))
                }
                Shown::Repeated => Ok(Some(session)),
                Shown::Over => Ok(None),
                Shown::Stolen => {
                    tracing::warn!(
                        account_id = %session.account,
                        session_id = %session.id,
                        "a used refresh token came again: the session is ended"
                    );
                    let moment = rpc.tokens.moment(now);
                    store::sessions::end(&tx, session.id, session.account, moment).await?;
                    let whose = Some(session.account);
                    let entry = Entry::by_stranger(Action::RefreshTokenReused, whose);
                    store::audit::append(&tx, entry.with(session.id)).await?;
                    Ok(None)
                }
            }
        })
        .await
}

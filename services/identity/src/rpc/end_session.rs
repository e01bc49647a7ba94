//! Logs out.

use chassis::Call;
use contracts::caravan::identity::v1 as pb;

use super::Rpc;
use crate::{
    domain::audit::{Action, Entry},
    error::Error,
    store,
    tokens::refresh::RefreshToken,
};

pub(super) async fn handle(
    rpc: &Rpc,
    _call: Call,
    request: pb::EndSessionRequest,
) -> Result<pb::EndSessionResponse, Error> {
    // Whoever is out already is content too.
    let Some(token) = &RefreshToken::read(&request.refresh_token) else {
        return Ok(pb::EndSessionResponse {});
    };
    let moment = rpc.tokens.moment(chassis::clock::now());
    rpc.db
        .write(|tx| async move {
            // Also by a used token: its holder wants the session to end, whoever else has it.
            let session = store::sessions::find(&tx, token.session).await?;
            if let Some(session) = session.filter(|session| token.is_of(session)) {
                store::sessions::end(&tx, session.id, session.account, moment).await?;
                let entry = Entry::by_owner(Action::SessionEnded, session.account);
                store::audit::append(&tx, entry.with(session.id)).await?;
            }
            Ok::<_, Error>(())
        })
        .await?;
    Ok(pb::EndSessionResponse {})
}

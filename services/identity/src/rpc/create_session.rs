//! Logs in: trades e-mail and password for an access token and a refresh token, or for a challenge to show a code.

use chassis::Call;
use contracts::caravan::identity::v1 as pb;
use secrecy::SecretString;
use uuid::Uuid;

use super::{Rpc, authenticate::authenticate, second_factor::challenge};
use crate::{
    domain::{
        audit::{Action, Entry},
        email::Email,
        session::Session,
    },
    error::Error,
    store,
    tokens::refresh,
};

pub(super) async fn handle(
    rpc: &Rpc,
    _call: Call,
    request: pb::CreateSessionRequest,
) -> Result<pb::CreateSessionResponse, Error> {
    let password = SecretString::from(request.password);
    let email = Email::parse(&request.email)
        .ok_or_else(|| Error::invalid("email", "must be an e-mail address"))?;
    let account = authenticate(rpc, &email, password).await?;
    let id = account.parts().id;
    if let Some(challenge) = challenge::begin(rpc, id, request.client.clone()).await? {
        return Ok(pb::CreateSessionResponse {
            session: Some(pb::Session {
                second_factor_challenge: Some(challenge),
                ..pb::Session::default()
            }),
        });
    }
    let now = chassis::clock::now();
    let session = &Session::begin(
        Uuid::now_v7(),
        id,
        request.client,
        refresh::random()?.to_vec(),
        now,
    );
    rpc.db
        .write(|tx| async move {
            store::sessions::insert(&tx, session).await?;
            let entry = Entry::by_owner(Action::Login, session.account).with(session.id);
            Ok::<_, Error>(store::audit::append(&tx, entry).await?)
        })
        .await?;
    Ok(pb::CreateSessionResponse {
        session: Some(rpc.tokens_of(session, &account, now)?),
    })
}

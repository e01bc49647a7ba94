//! Logs in: trades e-mail and password for an access token and a refresh token.

use chassis::Call;
use contracts::caravan::identity::v1 as pb;
use secrecy::SecretString;
use uuid::Uuid;

use super::{Rpc, authenticate::authenticate};
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
    let now = chassis::clock::now();
    let session = &Session::begin(
        Uuid::now_v7(),
        account.parts().id,
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

//! Ends a login that began with the password: trades the challenge and a code for tokens.

use chassis::Call;
use contracts::caravan::identity::v1::{self as pb, verify_second_factor_request as request};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    Rpc, again, challenge,
    proof::{self, Checked, Proof},
};
use crate::{
    domain::{
        account::Account,
        audit::{Action, Entry},
        session::Session,
    },
    error::Error,
    rpc::throttled,
    store,
    tokens::refresh,
};

/// What showing a code came to. What it leaves behind is kept, whatever it is.
enum Outcome {
    In(Box<Session>, Account),
    Out(Checked),
    /// No login waits for this code.
    Nobody,
}

pub(super) async fn handle(
    rpc: &Rpc,
    _call: Call,
    request: pb::VerifySecondFactorRequest,
) -> Result<pb::VerifySecondFactorResponse, Error> {
    let proof = &match request.proof {
        Some(request::Proof::Code(code)) => Proof::Code(code.into()),
        Some(request::Proof::RecoveryCode(code)) => Proof::RecoveryCode(code.into()),
        None => return Err(Error::invalid("code", "is missing")),
    };
    let hash = &challenge::hash(&request.challenge_token);
    let keys = throttled::address();
    throttled::check(rpc, &keys).await?;
    let secret = &refresh::random()?;
    let outcome = again(|now| attempt(rpc, hash, proof, (secret, now))).await?;
    let is_guess = matches!(outcome, Outcome::Nobody | Outcome::Out(Checked::Wrong));
    throttled::settle(rpc, &keys, !is_guess, None).await?;
    match outcome {
        Outcome::In(session, account) => Ok(pb::VerifySecondFactorResponse {
            session: Some(rpc.tokens_of(&session, &account, session.created)?),
        }),
        Outcome::Out(checked) => Err(checked.settled().err().unwrap_or(Error::InvalidCode)),
        Outcome::Nobody => Err(Error::InvalidChallenge),
    }
}

async fn attempt(
    rpc: &Rpc,
    token_hash: &[u8],
    proof: &Proof,
    (secret, now): (&[u8], OffsetDateTime),
) -> Result<Outcome, Error> {
    rpc.db
        .write(|tx| async move {
            let Some(challenge) = store::challenges::find(&tx, token_hash.to_vec(), now).await?
            else {
                return Ok(Outcome::Nobody);
            };
            let id = challenge.account;
            let account = store::accounts::find(&tx, id).await?;
            let factor = store::second_factors::find(&tx, id).await?;
            // What was so when the password was right may have changed since.
            let (Some(account), Some(mut factor)) = (
                account.filter(Account::is_active),
                factor.filter(|factor| factor.enabled.is_some()),
            ) else {
                return Ok(Outcome::Nobody);
            };
            let checked = proof::check(&tx, &rpc.seal, &mut factor, proof, now).await?;
            match checked {
                Checked::Right => {}
                Checked::Wrong => {
                    store::challenges::refuse(&tx, &challenge).await?;
                    let entry = Entry::by_stranger(Action::LoginRefused, Some(id));
                    store::audit::append(&tx, entry.with("second factor")).await?;
                    return Ok(Outcome::Out(checked));
                }
                Checked::TooSoon(_) => return Ok(Outcome::Out(checked)),
            }
            if !store::challenges::end(&tx, challenge.id).await? {
                // Somebody else was first; this unit of work is undone.
                return Err(chassis::db::Error::Conflict.into());
            }
            let session =
                Session::begin(Uuid::now_v7(), id, challenge.client, secret.to_vec(), now);
            store::sessions::insert(&tx, &session).await?;
            let entry = Entry::by_owner(Action::Login, id).with(session.id);
            store::audit::append(&tx, entry).await?;
            Ok(Outcome::In(Box::new(session), account))
        })
        .await
}

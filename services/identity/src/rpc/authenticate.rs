//! Whether a password is right; what logging in and everything that asks for the password once more share.
//!
//! An unknown address and a wrong password get the same answer after the same work.

use secrecy::SecretString;
use uuid::Uuid;

use super::{Rpc, throttled};
use crate::{
    domain::{
        account::Account,
        audit::{Action, Entry},
        email::Email,
    },
    error::Error,
    store,
};

pub(super) async fn authenticate(
    rpc: &Rpc,
    email: &Email,
    password: SecretString,
) -> Result<Account, Error> {
    let keys = throttled::account_and_address(email.as_str());
    throttled::check(rpc, &keys).await?;

    let account = store::accounts::find_by_email(rpc.db.read(), email).await?;
    // Asked for nobody too, so that both ways cost the same.
    let id = account
        .as_ref()
        .map_or(Uuid::nil(), |account| account.parts().id);
    let hash = store::accounts::password_hash(rpc.db.read(), id).await?;
    let right = rpc.passwords.verify(password, hash).await?;
    let usable = account.as_ref().is_some_and(Account::is_active);
    let refused = (!(right && usable)).then(|| {
        // For nobody too, as above.
        let whose = account.as_ref().map(|account| account.parts().id);
        let reason = if right { "inactive" } else { "" };
        Entry::by_stranger(Action::LoginRefused, whose).with(reason)
    });
    throttled::settle(rpc, &keys, right, refused.as_ref()).await?;

    let account = account.filter(|_| right).ok_or(Error::InvalidCredentials)?;
    if account.is_active() {
        Ok(account)
    } else {
        Err(Error::Inactive)
    }
}

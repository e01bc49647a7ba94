//! Between the contract's messages and the domain.

use contracts::caravan::identity::v1::{self as pb, AccountState};
use uuid::Uuid;

use crate::{
    domain::account::{Account, State},
    error::Error,
};

/// An account as the contract says it.
pub(super) fn account(account: &Account) -> pb::Account {
    let parts = account.parts();
    pb::Account {
        account_id: parts.id.to_string(),
        email: parts.email.to_string(),
        display_name: parts.display_name.clone(),
        state: state(parts.state).into(),
        roles: account.role_names(),
        create_time: Some(chassis::clock::timestamp(parts.created)),
    }
}

/// A state as the contract says it.
pub(crate) fn state(state: State) -> AccountState {
    match state {
        State::Active => AccountState::Active,
        State::Inactive => AccountState::Inactive,
    }
}

/// An account's id; `field` names it where it is none.
pub(super) fn account_id(text: &str, field: &str) -> Result<Uuid, Error> {
    text.parse()
        .map_err(|_| Error::invalid(field, "must be a UUID"))
}

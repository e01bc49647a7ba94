//! Domain events as the contract's messages.

use contracts::caravan::identity::v1 as pb;

use crate::{
    domain::account::{Registered, Updated},
    rpc::convert,
};

impl From<&Registered> for pb::AccountRegistered {
    fn from(Registered(account): &Registered) -> Self {
        let parts = account.parts();
        Self {
            account_id: parts.id.to_string(),
            email: parts.email.to_string(),
            display_name: parts.display_name.clone(),
            version: parts.version,
        }
    }
}

impl From<&Updated> for pb::AccountUpdated {
    fn from(Updated(account): &Updated) -> Self {
        let parts = account.parts();
        Self {
            account_id: parts.id.to_string(),
            email: parts.email.to_string(),
            display_name: parts.display_name.clone(),
            state: convert::state(parts.state).into(),
            version: parts.version,
        }
    }
}

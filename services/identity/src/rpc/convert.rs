//! Between the contract's messages and the domain.

use contracts::caravan::identity::v1 as pb;
use uuid::Uuid;

use crate::{
    domain::{account::Account, session::Session},
    error::Error,
    events::publish::state,
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
        email_verified: parts.email_verified,
        preferences: Some(pb::Preferences {
            locale: parts.preferences.locale.clone(),
            newsletter: parts.preferences.newsletter,
        }),
    }
}

/// A session as its person sees it.
pub(super) fn session_info(session: &Session) -> pb::SessionInfo {
    pb::SessionInfo {
        session_id: session.id.to_string(),
        client: session.client.clone(),
        create_time: Some(chassis::clock::timestamp(session.created)),
        last_use_time: Some(chassis::clock::timestamp(session.refreshed)),
        expire_time: Some(chassis::clock::timestamp(session.ends())),
    }
}

/// An account's id; `field` names it where it is none.
pub(super) fn account_id(text: &str, field: &str) -> Result<Uuid, Error> {
    text.parse()
        .map_err(|_| Error::invalid(field, "must be a UUID"))
}

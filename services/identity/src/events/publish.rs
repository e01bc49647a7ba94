//! Domain events as the contract's messages.

use contracts::caravan::identity::v1 as pb;

use crate::domain::{
    account::{Closed, Registered, State, Updated},
    mail::{Kind, Requested},
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
            state: state(parts.state).into(),
            version: parts.version,
        }
    }
}

impl From<&Closed> for pb::AccountClosed {
    fn from(Closed(account): &Closed) -> Self {
        let parts = account.parts();
        Self {
            account_id: parts.id.to_string(),
            version: parts.version,
        }
    }
}

impl From<&Requested> for pb::MailRequested {
    fn from(requested: &Requested) -> Self {
        Self {
            account_id: requested.account.to_string(),
            mail_id: requested.mail.to_string(),
            kind: mail_kind(requested.kind).into(),
        }
    }
}

/// A state as the contract says it.
pub(crate) fn state(state: State) -> pb::AccountState {
    match state {
        State::Active => pb::AccountState::Active,
        State::Inactive => pb::AccountState::Inactive,
        State::Closed => pb::AccountState::Closed,
    }
}

/// What a mail is for as the contract says it.
pub(crate) fn mail_kind(kind: Kind) -> pb::MailKind {
    match kind {
        Kind::EmailVerification => pb::MailKind::EmailVerification,
        Kind::PasswordReset => pb::MailKind::PasswordReset,
        Kind::PasswordChanged => pb::MailKind::PasswordChanged,
        Kind::SecondFactorEnabled => pb::MailKind::SecondFactorEnabled,
        Kind::SecondFactorDisabled => pb::MailKind::SecondFactorDisabled,
        Kind::SecondFactorReset => pb::MailKind::SecondFactorReset,
        Kind::RecoveryCodesChanged => pb::MailKind::RecoveryCodesChanged,
        Kind::RolesChanged => pb::MailKind::RolesChanged,
    }
}

//! Who asks about tokens, and about which.

use chassis::{Call, Caller};

use super::{
    OAuth, OAuthError,
    credentials::{self, Authorization, Known},
};
use crate::error::Error;

/// Somebody who may ask.
pub(super) struct Asker {
    /// For the audit log.
    pub(super) label: String,
    /// Its own tokens are always its business.
    client_id: Option<String>,
    /// So are those of others.
    may_all: bool,
}

impl Asker {
    /// A client by its secret, which needs `scope` for tokens of others; or an operator, admin or service by token.
    ///
    /// # Errors
    /// Anybody else.
    pub(super) async fn of(
        rpc: &OAuth,
        call: &Call,
        (shown, form): (Authorization, (String, String)),
        scope: &str,
    ) -> Result<Self, Error> {
        if let Some(client) = credentials::client(rpc, shown, form).await? {
            let (kind, may_all) = match &client {
                Known::Service(_) => ("service", true),
                Known::Client(client) => (
                    "client",
                    client.is_of_mesh() || client.scopes.contains(scope),
                ),
            };
            return Ok(Self {
                label: format!("{kind}:{}", client.id()),
                client_id: Some(client.id().to_owned()),
                may_all,
            });
        }
        let caller = &call.caller;
        let may_all = matches!(caller, Caller::Service { .. })
            || caller.has_role("operator")
            || caller.has_role("admin");
        match may_all {
            true => Ok(Self {
                label: caller.label(),
                client_id: None,
                may_all,
            }),
            false => Err(OAuthError::InvalidClient.into()),
        }
    }

    /// Whether a token that was given to `client_id`, or to a person, is its business.
    pub(super) fn may(&self, client_id: Option<&str>) -> bool {
        self.may_all || (client_id.is_some() && client_id == self.client_id.as_deref())
    }
}

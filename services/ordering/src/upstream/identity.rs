//! Accounts that ordering has no copy of yet.

use chassis::client::{self, Channel};
use contracts::caravan::identity::v1::{
    AccountState, BatchGetAccountsRequest, identity_service_client::IdentityServiceClient,
};
use uuid::Uuid;

use crate::{domain::customer::Customer, error::Error};

/// The identity service.
#[derive(Clone, Debug)]
pub struct Identity {
    client: IdentityServiceClient<Channel>,
}

impl Identity {
    /// The identity service behind this channel.
    pub fn new(channel: Channel) -> Self {
        Self {
            client: IdentityServiceClient::new(channel),
        }
    }

    /// The account as it is now; `None` where there is none.
    ///
    /// # Errors
    /// [`Error::Upstream`].
    pub async fn account(&self, id: Uuid) -> Result<Option<Customer>, Error> {
        let request = BatchGetAccountsRequest {
            account_ids: vec![id.to_string()],
        };
        let reply = client::retry(|| {
            let (mut client, request) = (self.client.clone(), request.clone());
            async move { client.batch_get_accounts(request).await }
        })
        .await
        .map_err(Error::Upstream)?;
        Ok(reply.into_inner().accounts.pop().map(|account| Customer {
            id,
            active: account.state() == AccountState::Active,
            display_name: account.display_name,
        }))
    }
}

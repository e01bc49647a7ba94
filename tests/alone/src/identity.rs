//! An identity service of the test's own: it signs what it is asked to.

use contracts::caravan::identity::v1 as pb;
use uuid::Uuid;

use crate::{
    neighbour::Neighbour,
    signer::{LIFETIME_S, Signer},
};

/// A running identity service. Ends with the value.
#[derive(Debug)]
pub(crate) struct Identity {
    signer: Signer,
    server: Neighbour,
}

impl Identity {
    pub(crate) async fn start() -> Self {
        let signer = Signer::new();
        let keys = pb::GetKeySetResponse {
            keys: vec![signer.public().clone()],
        };
        let issuer = signer.clone();
        // What services ask identity for; people are the test's business.
        let server = Neighbour::builder()
            .answers(
                "/caravan.identity.v1.IdentityService/GetKeySet",
                move |_: pb::GetKeySetRequest| keys.clone(),
            )
            .answers(
                "/caravan.identity.v1.OAuthService/IssueToken",
                move |request: pb::IssueTokenRequest| pb::IssueTokenResponse {
                    access_token: issuer.service(&request.client_id),
                    token_type: "Bearer".to_owned(),
                    expires_in: LIFETIME_S,
                    scope: String::new(),
                },
            )
            .start()
            .await;
        Self { signer, server }
    }

    pub(crate) fn url(&self) -> &str {
        self.server.url()
    }

    /// A token of a person with these roles.
    pub(crate) fn user(&self, id: Uuid, roles: &[&str]) -> String {
        self.signer.user(id, roles)
    }

    /// A token of a service.
    pub(crate) fn service(&self, name: &str) -> String {
        self.signer.service(name)
    }
}

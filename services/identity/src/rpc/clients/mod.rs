//! The rpcs about service clients.

use std::{collections::BTreeSet, sync::Arc};

use aws_lc_rs::error::Unspecified;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chassis::{clock, db::Db};
use contracts::caravan::identity::v1::{self as pb, client_service_server::ClientService};
use sha2::{Digest as _, Sha256};
use tonic::{Request, Response, Status, async_trait};

use super::Rpc;
use crate::{
    domain::client::{Client, INTROSPECT, MESH, REVOKE, SecretHash},
    service_clients::ServiceClients,
    tokens::{Tokens, refresh},
};

mod create;
mod list;
mod rotate_secret;
mod set_disabled;

/// How every client secret begins, so that people and scanners see what they have found.
const SECRET_PREFIX: &str = "ccs_";

/// What the handlers work with.
#[derive(Clone)]
pub struct Clients {
    db: Db,
    /// Services of the mesh by configuration; nobody else takes their names.
    services: Arc<ServiceClients>,
    tokens: Tokens,
}

impl Clients {
    /// The rpcs beside those of accounts.
    pub fn new(rpc: &Rpc) -> Self {
        Self {
            db: rpc.db.clone(),
            services: rpc.service_clients.clone(),
            tokens: rpc.tokens.clone(),
        }
    }
}

#[async_trait]
impl ClientService for Clients {
    async fn create_client(
        &self,
        request: Request<pb::CreateClientRequest>,
    ) -> Result<Response<pb::CreateClientResponse>, Status> {
        chassis::rpc::unary(request, |call, message| create::handle(self, call, message)).await
    }

    async fn list_clients(
        &self,
        request: Request<pb::ListClientsRequest>,
    ) -> Result<Response<pb::ListClientsResponse>, Status> {
        chassis::rpc::unary(request, |call, message| list::handle(self, call, message)).await
    }

    async fn rotate_client_secret(
        &self,
        request: Request<pb::RotateClientSecretRequest>,
    ) -> Result<Response<pb::RotateClientSecretResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            rotate_secret::handle(self, call, message)
        })
        .await
    }

    async fn disable_client(
        &self,
        request: Request<pb::DisableClientRequest>,
    ) -> Result<Response<pb::DisableClientResponse>, Status> {
        chassis::rpc::unary(request, async |_, message: pb::DisableClientRequest| {
            let client = set_disabled::handle(self, message.client_id, true).await?;
            Ok::<_, crate::error::Error>(pb::DisableClientResponse {
                client: Some(client),
            })
        })
        .await
    }

    async fn enable_client(
        &self,
        request: Request<pb::EnableClientRequest>,
    ) -> Result<Response<pb::EnableClientResponse>, Status> {
        chassis::rpc::unary(request, async |_, message: pb::EnableClientRequest| {
            let client = set_disabled::handle(self, message.client_id, false).await?;
            Ok::<_, crate::error::Error>(pb::EnableClientResponse {
                client: Some(client),
            })
        })
        .await
    }
}

/// Every scope that means anything: those that the contract names, and identity's own.
pub(super) fn known_scopes() -> BTreeSet<&'static str> {
    let rules = contracts::policy::methods().filter_map(|(_, policy)| policy.access.as_ref());
    let named = rules.flat_map(|access| access.scopes.iter().map(String::as_str));
    named.chain([MESH, INTROSPECT, REVOKE]).collect()
}

/// The hash by which a secret is known.
pub(super) fn hash(secret: &str) -> SecretHash {
    Sha256::digest(secret).into()
}

/// A new secret and its hash.
fn secret() -> Result<(String, SecretHash), Unspecified> {
    let text = URL_SAFE_NO_PAD.encode(refresh::random()?);
    let secret = format!("{SECRET_PREFIX}{text}");
    let hash = hash(&secret);
    Ok((secret, hash))
}

fn message(client: Client) -> pb::ServiceClient {
    let now = clock::now();
    let previous = client.previous.filter(|(_, ends)| now < *ends);
    pb::ServiceClient {
        client_id: client.client_id,
        description: client.description,
        scopes: client.scopes.into_iter().collect(),
        disabled: client.is_disabled,
        create_time: Some(clock::timestamp(client.created)),
        secret_create_time: Some(clock::timestamp(client.secret_made)),
        previous_secret_expire_time: previous.map(|(_, ends)| clock::timestamp(ends)),
    }
}

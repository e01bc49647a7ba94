//! The rpcs about signing keys.

use chassis::db::Db;
use contracts::caravan::identity::v1::{self as pb, signing_key_service_server::SigningKeyService};
use tonic::{Request, Response, Status, async_trait};

use super::Rpc;
use crate::tokens::Tokens;

mod list;
mod rotate;

/// What the handlers work with.
#[derive(Clone)]
pub struct Keys {
    db: Db,
    tokens: Tokens,
}

impl Keys {
    /// The rpcs beside those of accounts.
    pub fn new(rpc: &Rpc) -> Self {
        Self {
            db: rpc.db.clone(),
            tokens: rpc.tokens.clone(),
        }
    }
}

#[async_trait]
impl SigningKeyService for Keys {
    async fn list_signing_keys(
        &self,
        request: Request<pb::ListSigningKeysRequest>,
    ) -> Result<Response<pb::ListSigningKeysResponse>, Status> {
        chassis::rpc::unary(request, |call, message| list::handle(self, call, message)).await
    }

    async fn rotate_signing_keys(
        &self,
        request: Request<pb::RotateSigningKeysRequest>,
    ) -> Result<Response<pb::RotateSigningKeysResponse>, Status> {
        chassis::rpc::unary(request, |call, message| rotate::handle(self, call, message)).await
    }
}

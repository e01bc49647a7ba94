//! The keys that tokens are checked with: asked of the identity service like by any other client.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use chassis::auth::KeySource;
use contracts::caravan::identity::v1::{GetKeySetRequest, GetKeySetResponse, JsonWebKey};
use futures::{FutureExt as _, future::BoxFuture};
use http::{HeaderMap, uri::PathAndQuery};
use prost::Message as _;
use tokio::time::timeout;
use tonic::{Code, Status};

use crate::{
    status::Status as CallStatus,
    upstream::{Call, Upstream, frame, open_frame},
};

static GET_KEY_SET: PathAndQuery =
    PathAndQuery::from_static("/caravan.identity.v1.IdentityService/GetKeySet");
/// Longest wait for the keys.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The keys of an identity service.
#[derive(Debug)]
pub struct UpstreamKeys(Arc<Upstream>);

impl UpstreamKeys {
    /// The keys that the identity service behind `upstream` publishes.
    pub fn new(upstream: Arc<Upstream>) -> Self {
        Self(upstream)
    }

    async fn ask(&self) -> Result<Vec<JsonWebKey>, CallStatus> {
        let mut request = Vec::new();
        open_frame(&mut request);
        // Encoding into memory that grows does not fail.
        let _ = GetKeySetRequest {}.encode(&mut request);
        frame(&mut request);
        let call = self.0.unary(Call {
            path: &GET_KEY_SET,
            metadata: &HeaderMap::new,
            framed: Bytes::from(request),
            repeatable: true,
        });
        let answer = call.await?;
        let set = GetKeySetResponse::decode(answer).map_err(|_| CallStatus::bad_answer())?;
        Ok(set.keys)
    }
}

impl KeySource for UpstreamKeys {
    fn key_set(&self) -> BoxFuture<'_, Result<Vec<JsonWebKey>, Status>> {
        let ask = timeout(TIMEOUT, self.ask()).map(|outcome| {
            let outcome = outcome.unwrap_or_else(|_| Err(CallStatus::deadline_exceeded()));
            outcome.map_err(|status| Status::new(Code::Unavailable, status.message))
        });
        ask.boxed()
    }
}

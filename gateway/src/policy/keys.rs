//! The keys that tokens are checked with: asked of the identity service like by any other client.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use chassis::auth::KeySource;
use contracts::caravan::identity::v1::{
    GetKeySetRequest, GetKeySetResponse, JsonWebKey, Revocation, WatchRevocationsRequest,
    WatchRevocationsResponse,
};
use futures::{
    FutureExt as _, StreamExt as _, TryFutureExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use http::{HeaderMap, uri::PathAndQuery};
use prost::Message;
use tokio::time::timeout;
use tonic::{Code, Status};

use crate::{
    status::Status as CallStatus,
    upstream::{Call, Messages, Upstream, frame, open_frame},
};

static GET_KEY_SET: PathAndQuery =
    PathAndQuery::from_static("/caravan.identity.v1.IdentityService/GetKeySet");
static WATCH_REVOCATIONS: PathAndQuery =
    PathAndQuery::from_static("/caravan.identity.v1.IdentityService/WatchRevocations");
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
        let answer = self
            .0
            .unary(call(&GET_KEY_SET, &GetKeySetRequest {}))
            .await?;
        let set = GetKeySetResponse::decode(answer).map_err(|_| CallStatus::bad_answer())?;
        Ok(set.keys)
    }
}

fn call<'c>(path: &'c PathAndQuery, message: &impl Message) -> Call<'c> {
    let mut request = Vec::new();
    open_frame(&mut request);
    // Encoding into memory that grows does not fail.
    let _ = message.encode(&mut request);
    frame(&mut request);
    Call {
        path,
        metadata: &HeaderMap::new,
        framed: Bytes::from(request),
        repeatable: true,
    }
}

async fn next_revocations(messages: &mut Messages) -> Result<Option<Vec<Revocation>>, CallStatus> {
    let Some(message) = messages.next().await? else {
        return Ok(None);
    };
    let told = WatchRevocationsResponse::decode(message).map_err(|_| CallStatus::bad_answer())?;
    Ok(Some(told.revocations))
}

impl KeySource for UpstreamKeys {
    fn key_set(&self) -> BoxFuture<'_, Result<Vec<JsonWebKey>, Status>> {
        let ask = timeout(TIMEOUT, self.ask()).map(|outcome| {
            let outcome = outcome.unwrap_or_else(|_| Err(CallStatus::deadline_exceeded()));
            outcome.map_err(|status| Status::new(Code::Unavailable, status.message))
        });
        ask.boxed()
    }

    fn revocations(&self) -> BoxStream<'static, Result<Vec<Revocation>, Status>> {
        let upstream = self.0.clone();
        let told = async move {
            let messages = upstream
                .call(call(&WATCH_REVOCATIONS, &WatchRevocationsRequest {}))
                .await?;
            Ok(stream::try_unfold(messages, |mut messages| async move {
                let told = next_revocations(&mut messages).await?;
                Ok::<_, CallStatus>(told.map(|told| (told, messages)))
            }))
        };
        told.try_flatten_stream()
            .map(|told| told.map_err(|status| Status::new(Code::Unavailable, status.message)))
            .boxed()
    }
}

//! The public keys that tokens are checked with: fetched from their issuer, kept while it is away.

use std::{
    collections::HashMap,
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use contracts::caravan::identity::v1::{
    GetKeySetRequest, JsonWebKey, Revocation, WatchRevocationsRequest,
    identity_service_client::IdentityServiceClient,
};
use futures::{
    FutureExt as _, StreamExt as _, TryFutureExt as _, TryStreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use jsonwebtoken::{Algorithm, DecodingKey};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{jwks::Jwk, verifier::LEEWAY};
use crate::client::Channel;

/// Shortest time between two fetches that unknown key ids ask for.
const MIN_REFETCH: Duration = Duration::from_secs(5);
/// Shortest time between two fetches while there are no keys at all.
const MIN_RETRY: Duration = Duration::from_millis(250);
/// Time between fetches that nobody asks for, so that withdrawn keys go.
const REFRESH: Duration = Duration::from_secs(300);
/// Most keys that a key set may have.
const MAX_KEYS: usize = 32;

/// Where the public keys come from.
pub trait KeySource: Send + Sync + 'static {
    /// Every key that tokens may be signed with.
    ///
    /// # Errors
    /// The source cannot be reached.
    fn key_set(&self) -> BoxFuture<'_, Result<Vec<JsonWebKey>, Status>>;

    /// Tokens that count no more though they have not ended: all of them first, then each as it comes, and now and then an
    /// empty list as a sign of life. Ends with an error where the source cannot be reached. None where the source knows none.
    fn revocations(&self) -> BoxStream<'static, Result<Vec<Revocation>, Status>> {
        stream::pending().boxed()
    }
}

impl KeySource for Box<dyn KeySource> {
    fn key_set(&self) -> BoxFuture<'_, Result<Vec<JsonWebKey>, Status>> {
        (**self).key_set()
    }

    fn revocations(&self) -> BoxStream<'static, Result<Vec<Revocation>, Status>> {
        (**self).revocations()
    }
}

/// The keys of the identity service, by its GetKeySet.
#[derive(Clone)]
pub struct RemoteKeys(IdentityServiceClient<Channel>);

impl RemoteKeys {
    /// Keys by a channel to identity.
    pub fn new(identity: Channel) -> Self {
        Self(IdentityServiceClient::new(identity))
    }
}

impl KeySource for RemoteKeys {
    fn key_set(&self) -> BoxFuture<'_, Result<Vec<JsonWebKey>, Status>> {
        let mut client = self.0.clone();
        async move {
            Ok(client
                .get_key_set(GetKeySetRequest {})
                .await?
                .into_inner()
                .keys)
        }
        .boxed()
    }

    fn revocations(&self) -> BoxStream<'static, Result<Vec<Revocation>, Status>> {
        let mut client = self.0.clone();
        let told = async move { client.watch_revocations(WatchRevocationsRequest {}).await };
        told.map_ok(|told| told.into_inner().map_ok(|message| message.revocations))
            .try_flatten_stream()
            .boxed()
    }
}

/// The last time that the source was asked.
struct Asked {
    at: Instant,
    /// The same by the clock that tokens go by, in seconds since 1970.
    at_s: u64,
    answered: bool,
}

impl Asked {
    /// Whether the answer tells of a token made at `made_at_s`: a key is published before it signs anything.
    /// Clocks may be apart by the leeway.
    fn tells_of(&self, made_at_s: u64) -> bool {
        self.answered && made_at_s.saturating_add(LEEWAY.as_secs()) < self.at_s
    }
}

/// A public key, and the one algorithm that it is good for.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) public: DecodingKey,
    pub(super) algorithm: Algorithm,
}

/// Keys by id.
pub(super) type Keys = HashMap<String, Key>;

/// Fetches all keys of an issuer; those that are good for nothing here are left out.
type Fetch = Box<dyn Fn() -> BoxFuture<'static, Result<Keys, Status>> + Send + Sync>;

/// The cached keys of an issuer.
pub(super) struct KeyCache {
    fetch: Fetch,
    /// Shortest time between two fetches while there are no keys at all.
    retry: Duration,
    keys: ArcSwapOption<Keys>,
    /// Held while the source is asked, so that one asks for all.
    asked: Mutex<Option<Asked>>,
}

impl KeyCache {
    /// The keys of the mesh's own identity service.
    pub(super) fn of_mesh(source: Arc<dyn KeySource>) -> Self {
        let fetch = move || {
            let source = source.clone();
            async move {
                let set = source.key_set().await?;
                Ok(set.iter().take(MAX_KEYS).filter_map(key_of_mesh).collect())
            }
            .boxed()
        };
        Self::new(Box::new(fetch), MIN_RETRY)
    }

    /// The keys that somebody else publishes, who is not asked more often than an unknown key is looked for.
    pub(super) fn of_others<F, Fut>(fetch: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Vec<Jwk>, Status>> + Send + 'static,
    {
        let fetch = move || {
            let set = fetch();
            async move {
                Ok(set
                    .await?
                    .iter()
                    .take(MAX_KEYS)
                    .filter_map(Jwk::key)
                    .collect())
            }
            .boxed()
        };
        Self::new(Box::new(fetch), MIN_REFETCH)
    }

    fn new(fetch: Fetch, retry: Duration) -> Self {
        Self {
            fetch,
            retry,
            keys: ArcSwapOption::empty(),
            asked: Mutex::new(None),
        }
    }

    /// The key of an id that signed a token made at `made_at_s` (seconds since 1970, and the token's word only);
    /// asks the source about an unknown one, but not more often than the limits say. `Ok(None)`: there is no such key.
    ///
    /// "No such key" is final: callers log in again for it, and sagas park. So it is said only by an answer of the
    /// source to this call, or to a recent one that is younger than the token. Otherwise the caller hears that
    /// nothing can be said yet, and comes again; random key ids thus cost the source one question in a pause.
    ///
    /// # Errors
    /// The source has not answered, or answered before the token was made and may not be asked again yet.
    pub(super) async fn get(&self, kid: &str, made_at_s: u64) -> Result<Option<Key>, Status> {
        if let Some(key) = self.cached(kid) {
            return Ok(Some(key));
        }
        let mut asked = self.asked.lock().await;
        // Somebody else may have asked while this call waited.
        if let Some(key) = self.cached(kid) {
            return Ok(Some(key));
        }
        let pause = match self.has_some() {
            true => MIN_REFETCH,
            false => self.retry,
        };
        match asked.as_ref().filter(|asked| asked.at.elapsed() < pause) {
            Some(recent) if recent.tells_of(made_at_s) => Ok(None),
            Some(_) => Err(Status::unavailable(
                "the keys that tokens are checked with were asked for a moment ago",
            )),
            None => {
                self.ask(&mut asked).await?;
                Ok(self.cached(kid))
            }
        }
    }

    /// Keeps the keys fresh until the service stops, so that no request waits for them.
    pub(super) async fn keep_fresh(&self, stop: CancellationToken) {
        loop {
            let fetched = {
                let mut asked = self.asked.lock().await;
                self.ask(&mut asked).await.is_ok()
            };
            let pause = match (fetched, self.has_some()) {
                (true, _) => REFRESH,
                (false, true) => MIN_REFETCH,
                (false, false) => self.retry,
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Whether the source has ever answered.
    pub(super) fn has_some(&self) -> bool {
        self.keys.load().is_some()
    }

    /// Whether the key is among the cached ones.
    pub(super) fn has(&self, kid: &str) -> bool {
        self.keys
            .load()
            .as_ref()
            .is_some_and(|keys| keys.contains_key(kid))
    }

    fn cached(&self, kid: &str) -> Option<Key> {
        self.keys.load().as_ref()?.get(kid).cloned()
    }

    async fn ask(&self, asked: &mut Option<Asked>) -> Result<(), Status> {
        // Set before the question too: a caller who goes away while it is asked leaves its mark.
        let now = asked.insert(Asked {
            at: Instant::now(),
            at_s: jsonwebtoken::get_current_timestamp(),
            answered: false,
        });
        self.fetch().await?;
        now.answered = true;
        Ok(())
    }

    async fn fetch(&self) -> Result<(), Status> {
        let keys = (self.fetch)().await.inspect_err(|status| {
            tracing::debug!(code = ?status.code(), error = status.message(), "no key set");
        })?;
        if keys.is_empty() {
            tracing::warn!("the key set has no key that can be used");
            return Err(Status::unavailable(
                "the key set has no key that can be used",
            ));
        }
        self.keys.store(Some(Arc::new(keys)));
        Ok(())
    }
}

/// A key of the one algorithm that the mesh signs with; `None` for any other.
fn key_of_mesh(key: &JsonWebKey) -> Option<(String, Key)> {
    let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let key = Jwk {
        kty: key.kty.clone(),
        crv: given(&key.crv),
        kid: given(&key.kid),
        r#use: given(&key.r#use),
        alg: given(&key.alg),
        x: given(&key.x),
        y: given(&key.y),
        ..Jwk::default()
    };
    key.key()
        .filter(|(_, key)| key.algorithm == Algorithm::ES256)
}

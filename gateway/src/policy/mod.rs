//! What the contract and the operator say about who may call, how often, and what is kept: the steps of
//! [`crate::pipeline`] that may end a request before its upstream hears of it, and those that finish its answer.
//!
//! [`Rules`] belong to one rpc or route and are compiled with the contract; [`Policies`] hold what outlives a contract
//! (keys, buckets, kept answers).

mod access;
mod cache;
mod compress;
mod cors;
mod kept;
mod keys;
mod limits;
mod metrics;
mod rate;
mod rules;
mod settings;

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, atomic::AtomicU64},
};

use cache::Store;
pub(crate) use cache::etag;
pub use chassis::network::Network;
use chassis::{Caller, auth::Verifier};
pub(crate) use compress::Variants;
pub use cors::Cors;
use http::{HeaderMap, StatusCode};
pub(crate) use kept::matches;
pub use keys::UpstreamKeys;
pub use limits::Limits;
pub use rate::Rate;
use rate::{Left, Limiter};
pub use rules::Rules;
pub(crate) use rules::Subject;
pub use settings::{
    PrefixSettings, Rates, RouteSettings, Settings, SettingsError, SplitSettings, Switches,
};

use sha2::{Digest as _, Sha256};

use crate::{
    answer::Answer,
    exchange::Exchange,
    plain::Prefixes,
    problem::Problem,
    upstream::{Chosen, Directory, Split},
};

/// What outlives a contract.
pub struct Policies {
    settings: Settings,
    /// Checks tokens; `None` where no keys are to be had, so that services alone check.
    verifier: Option<Verifier>,
    limiter: Limiter,
    store: Store,
    /// What several upstreams share, by what is split.
    splits: Vec<(String, Arc<Split>)>,
    prefixes: Prefixes,
    next_id: AtomicU64,
}

impl std::fmt::Debug for Policies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("Policies");
        debug
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// What admission found out about a request.
#[derive(Debug)]
pub(crate) struct Admitted<'r> {
    rules: &'r Rules,
    left: Option<Left>,
    /// Where it goes, where several upstreams share its requests.
    pub(crate) chosen: Option<Chosen>,
}

/// Who is counted together.
#[derive(Hash)]
enum Counted<'c> {
    User(uuid::Uuid),
    Service(&'c str),
    Client(&'c str),
    Address(IpAddr),
}

impl<'c> Counted<'c> {
    fn of(caller: &'c Caller, client: IpAddr) -> Self {
        match caller {
            Caller::User { id, .. } => Self::User(*id),
            Caller::Service { name } => Self::Service(name),
            Caller::Client { id, .. } => Self::Client(id),
            Caller::Anonymous => Self::Address(network(client)),
        }
    }

    /// Where it stands among all: the same in every gateway and after every start.
    fn point(&self) -> u64 {
        let digest = match self {
            Self::User(id) => Sha256::digest(id),
            Self::Service(name) | Self::Client(name) => Sha256::digest(name),
            Self::Address(IpAddr::V4(address)) => Sha256::digest(address.octets()),
            Self::Address(IpAddr::V6(address)) => Sha256::digest(address.octets()),
        };
        let mut point = [0; 8];
        point.copy_from_slice(&digest[..8]);
        u64::from_be_bytes(point)
    }
}

impl Policies {
    /// What `settings` say. Without a verifier tokens are checked by the services alone, and calls are counted by address.
    pub fn new(settings: Settings, verifier: Option<Verifier>) -> Self {
        Self {
            limiter: Limiter::default(),
            store: Store::new(settings.cache_bytes),
            splits: Vec::new(),
            prefixes: Prefixes::default(),
            next_id: AtomicU64::new(0),
            settings,
            verifier,
        }
    }

    /// The same with the upstreams that `settings` speak of.
    ///
    /// # Errors
    /// One of them is not known, with the line that names it.
    pub fn beside(mut self, upstreams: &Directory) -> Result<Self, SettingsError> {
        self.splits = self.shared(upstreams)?;
        self.prefixes = self.prefixed(upstreams)?;
        Ok(self)
    }

    /// What a request may have.
    pub fn limits(&self) -> &Limits {
        &self.settings.limits
    }

    /// Who sent a request, as far as proxies are trusted to say so.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        chassis::network::client(peer, headers, &self.settings.trusted_proxies)
    }

    /// Whether it is a proxy whose word counts.
    pub(crate) fn is_trusted(&self, peer: IpAddr) -> bool {
        chassis::network::is_in(peer, &self.settings.trusted_proxies)
    }

    /// What old systems serve.
    pub(crate) fn prefixes(&self) -> &Prefixes {
        &self.prefixes
    }

    /// Whether the operator says which pages of other origins may call.
    pub(crate) fn has_cors(&self) -> bool {
        self.settings.cors.is_some()
    }

    /// The answer to a CORS preflight; `None` for any other request.
    pub(crate) fn preflight(&self, exchange: &Exchange<'_>) -> Option<Answer> {
        self.settings.cors.as_ref()?.preflight(exchange.head)
    }

    /// Whether a page of this origin may call at all, which nobody asks for before a WebSocket.
    pub(crate) fn admits_origin(&self, headers: &HeaderMap) -> bool {
        self.settings
            .cors
            .as_ref()
            .is_none_or(|cors| cors.admits(headers))
    }

    /// Access and rate. `headers` are those of the request, or hold the token that came elsewhere.
    pub(crate) async fn admit<'r>(
        &self,
        exchange: &Exchange<'_>,
        rules: &'r Rules,
        headers: &HeaderMap,
        admitted: &mut Option<Admitted<'r>>,
    ) -> Result<(), Problem> {
        let seen = admitted.insert(Admitted {
            rules,
            left: None,
            chosen: None,
        });
        let caller = match (&self.verifier, &rules.access) {
            (Some(verifier), Some(access)) => access::admit(verifier, access, headers).await?,
            // Nobody can be let in whom nobody may let in.
            (None, Some(access)) if access::is_for_nobody(access) => return Err(access::denied()),
            _ => Caller::Anonymous,
        };
        if let Some(split) = &rules.split {
            let point = match split.is_sticky() {
                true => Counted::of(&caller, exchange.client).point(),
                false => fastrand::u64(..),
            };
            seen.chosen = Some(split.choose(headers, point));
        }
        let Some(quota) = &rules.quota else {
            return Ok(());
        };
        let counted = Counted::of(&caller, exchange.client);
        let left = seen.left.insert(self.limiter.take(quota, counted));
        if left.is_allowed {
            return Ok(());
        }
        metrics::limited(quota.class);
        let detail = format!("too many calls; try again in {} s", left.retry_after_s);
        Err(Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "RATE_LIMITED",
            detail,
        ))
    }

    /// The answer of `fetch`, or one that was kept from an earlier one.
    pub(crate) async fn kept(
        &self,
        exchange: &Exchange<'_>,
        rules: &Rules,
        fetch: impl Future<Output = Result<Answer, Problem>>,
    ) -> Result<Answer, Problem> {
        let is_safe = kept::is_safe(&exchange.head.method);
        match &rules.cache {
            Some(rule) if is_safe => {
                kept::answer(&self.store, (rules, rule), exchange, fetch).await
            }
            _ if is_safe => fetch.await,
            _ => {
                let outcome = fetch.await;
                // A failure may have changed something too.
                kept::changed(&self.store, exchange);
                outcome
            }
        }
    }

    /// Compresses an answer that belongs to no rpc.
    pub(crate) fn compress(&self, exchange: &Exchange<'_>, answer: &mut Answer) {
        if self.settings.switches.compression {
            let min_bytes = self.settings.min_compressed_bytes;
            compress::compress(&exchange.head.headers, min_bytes, answer);
        }
    }

    /// Headers of an answer that is given on as it is.
    pub(crate) fn finish_passed(
        &self,
        exchange: &Exchange<'_>,
        admitted: Option<&Admitted<'_>>,
        headers: &mut HeaderMap,
    ) {
        if let Some(cors) = &self.settings.cors {
            cors.write(&exchange.head.headers, headers);
        }
        if let Some(Admitted { rules, left, .. }) = admitted
            && let (Some(left), Some(quota)) = (left, &rules.quota)
        {
            left.write(quota, headers);
        }
    }

    /// Headers and encoding of an answer, failures included. `admitted` is `None` where the request did not come so far.
    pub(crate) fn finish(
        &self,
        exchange: &Exchange<'_>,
        admitted: Option<&Admitted<'_>>,
        answer: &mut Answer,
    ) {
        let request = &exchange.head.headers;
        access::challenge(answer.status(), request, answer.headers_mut());
        if let Some(cors) = &self.settings.cors {
            cors.write(request, answer.headers_mut());
        }
        let Some(Admitted { rules, left, .. }) = admitted else {
            return;
        };
        if let (Some(left), Some(quota)) = (left, &rules.quota) {
            left.write(quota, answer.headers_mut());
        }
        if rules.compression {
            compress::compress(request, self.settings.min_compressed_bytes, answer);
        }
    }
}

impl Default for Policies {
    /// No policy at all.
    fn default() -> Self {
        Self::new(Settings::off(), None)
    }
}

/// Somebody with IPv6 has a whole network of addresses.
fn network(address: IpAddr) -> IpAddr {
    const PREFIX: u128 = u128::MAX << 64;
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & PREFIX).into(),
    }
}

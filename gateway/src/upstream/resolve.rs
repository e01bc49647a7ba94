//! Names of upstreams, looked up again and again: endpoints come and go while the gateway runs.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures::future::join_all;
use tokio::{
    net::lookup_host,
    sync::Notify,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Directory, Endpoint, Origin, Upstream};

/// Shortest time between two looks, however many connections fail.
const MIN_PAUSE: Duration = Duration::from_millis(500);
/// Longest wait for a name server.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// Most addresses of one name that are used.
const MAX_ADDRESSES: usize = 64;

/// Says when names should be looked up before it is time.
#[derive(Debug, Default)]
pub(crate) struct Resolver {
    hurry: Notify,
}

impl Resolver {
    /// An endpoint could not be reached: it may have moved.
    pub(super) fn hurry(&self) {
        self.hurry.notify_one();
    }
}

impl Directory {
    /// Looks all names up, again after each `interval` and soon after a connection failed, until `stop`. Where a name cannot
    /// be looked up, what is known of it stays.
    pub async fn keep_resolved(&self, interval: Duration, stop: CancellationToken) {
        let look = async {
            loop {
                self.resolve(async |name: &str, port| {
                    let addresses = timeout(LOOKUP_TIMEOUT, lookup_host((name, port))).await??;
                    Ok(addresses.collect())
                })
                .await;
                sleep(MIN_PAUSE).await;
                // Ends early where a connection failed.
                let _ = timeout(interval, self.resolver().hurry.notified()).await;
            }
        };
        stop.run_until_cancelled(look).await;
    }

    async fn resolve(&self, look_up: impl AsyncFn(&str, u16) -> io::Result<Vec<SocketAddr>>) {
        let upstreams = self.upstreams();
        join_all(upstreams.iter().map(|upstream| upstream.resolve(&look_up))).await;
    }
}

impl Upstream {
    async fn resolve(&self, look_up: &impl AsyncFn(&str, u16) -> io::Result<Vec<SocketAddr>>) {
        if self.origins.iter().all(|origin| origin.name().is_none()) {
            return;
        }
        let (mut found, mut failure) = (Vec::new(), None);
        for origin in &self.origins {
            let Some((name, port)) = origin.name() else {
                found.push((origin, None));
                continue;
            };
            let addresses = look_up(name, port).await;
            let addresses = addresses.and_then(|addresses| match addresses.is_empty() {
                true => Err(io::ErrorKind::NotFound.into()),
                false => Ok(addresses),
            });
            match addresses {
                Ok(mut addresses) => {
                    addresses.sort_unstable();
                    addresses.dedup();
                    addresses.truncate(MAX_ADDRESSES);
                    found.extend(addresses.into_iter().map(|address| (origin, Some(address))));
                }
                Err(error) => {
                    failure = Some((name, error));
                    let known = self.endpoints.load();
                    let known = known.iter().filter(|known| known.is_of(origin));
                    found.extend(known.map(|known| (origin, known.address())));
                }
            }
        }
        self.serve_at(&found);
        let was_lost = self.is_lost.swap(failure.is_some(), Ordering::Relaxed);
        // Said once, not at every look.
        if let Some((name, error)) = failure.filter(|_| !was_lost) {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(upstream = self.name(), name, error, "no address is found");
        }
    }

    /// Makes these the upstream's endpoints. Those that stay keep their connections; those that go end with their last call.
    pub(super) fn serve_at(&self, addresses: &[(&Origin, Option<SocketAddr>)]) {
        let known = self.endpoints.load();
        let is = |endpoint: &Endpoint, (origin, address): &(&Origin, Option<SocketAddr>)| {
            endpoint.is_of(origin) && endpoint.address() == *address
        };
        if known.len() == addresses.len()
            && known
                .iter()
                .zip(addresses)
                .all(|(known, place)| is(known, place))
        {
            return;
        }
        let endpoints = addresses.iter().map(|place| {
            let known = known.iter().find(|known| is(known, place));
            let make = || Arc::new(Endpoint::new(place.0, place.1, self.workers, &self.peers));
            known.cloned().unwrap_or_else(make)
        });
        let endpoints: Box<[_]> = endpoints.collect();
        self.peers.set_count(endpoints.len());
        self.endpoints.store(Arc::new(endpoints));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(text: &[&str]) -> Vec<SocketAddr> {
        let parsed = text.iter().map(|text| text.parse());
        parsed.collect::<Result<_, _>>().expect("addresses")
    }

    #[tokio::test]
    async fn endpoints_follow_the_names() {
        let targets = ["http://service:1", "http://127.0.0.9:2"].map(|target| target.parse());
        let targets: Vec<_> = targets
            .into_iter()
            .map(|target| target.expect("a target"))
            .collect();
        let directory = Directory::new(&targets, &"".parse().expect("none"), 1);
        let pool = &contracts::DESCRIPTOR_POOL;
        let service = pool.services().next().expect("a service");
        let upstream = directory.find(&service, None).expect("the default");
        let endpoints = || upstream.endpoints.load().to_vec();
        assert_eq!(endpoints().len(), 2);

        let found = addresses(&["10.0.0.2:1", "10.0.0.1:1", "10.0.0.2:1"]);
        directory.resolve(async |_, _| Ok(found.clone())).await;
        let first = endpoints();
        let known: Vec<_> = first.iter().map(|endpoint| endpoint.address()).collect();
        let expected = addresses(&["10.0.0.1:1", "10.0.0.2:1"]);
        assert_eq!(known, [Some(expected[0]), Some(expected[1]), None]);

        // What cannot be looked up stays as it is.
        directory
            .resolve(async |_, _| Err(io::ErrorKind::TimedOut.into()))
            .await;
        directory.resolve(async |_, _| Ok(Vec::new())).await;
        let same = |one: &[Arc<Endpoint>], other: &[Arc<Endpoint>]| {
            one.iter()
                .zip(other)
                .filter(|(one, other)| Arc::ptr_eq(one, other))
                .count()
        };
        assert_eq!(same(&first, &endpoints()), 3);

        // One goes, one comes, and one stays with its connections.
        let found = addresses(&["10.0.0.3:1", "10.0.0.2:1"]);
        directory.resolve(async |_, _| Ok(found.clone())).await;
        let second = endpoints();
        assert_eq!(second.len(), 3);
        assert!(Arc::ptr_eq(&first[1], &second[0]) && Arc::ptr_eq(&first[2], &second[2]));
        let gone = Arc::downgrade(&first[0]);
        drop(first);
        assert!(gone.upgrade().is_none());
    }
}

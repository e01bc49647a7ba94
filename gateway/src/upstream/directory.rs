//! Which upstream serves which rpc.

use std::{
    collections::BTreeMap,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use anyhow::{Context as _, bail, ensure};
use chassis::{config::Upstreams, tls};
use http::Uri;
use prost_reflect::ServiceDescriptor;

use super::{Origin, Resolver, Site, Upstream, is_secure};

/// One `--upstream`: `PACKAGE.SERVICE=URL`, `PACKAGE=URL`, or `URL` for whatever has no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Full name of a service or package; empty for the default.
    pub name: String,
    /// `http://host:port` or `https://host:port`
    pub uri: Uri,
}

impl Target {
    /// The service of the mesh that a source of contracts must be, where it is named.
    pub(crate) fn service(&self) -> Option<&str> {
        (!self.name.is_empty()).then_some(&*self.name)
    }
}

impl FromStr for Target {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, url) = match text.split_once('=') {
            Some((name, url)) if !name.contains(':') => (name.trim(), url.trim()),
            _ => ("", text.trim()),
        };
        let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        ensure!(
            name.chars().all(legal),
            "`{name}` is no name of a service, package or upstream"
        );
        let uri: Uri = url
            .parse()
            .with_context(|| format!("`{url}` is not a URL"))?;
        ensure!(
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.authority().is_some(),
            "`{url}` must be http://host:port or https://host:port"
        );
        Ok(Self {
            name: name.to_owned(),
            uri,
        })
    }
}

/// Finds the upstream of a service. Upstreams outlive contracts: a new contract finds the connections of the old one. One
/// that no contract needs any more goes with the last request that does.
#[derive(Debug)]
pub struct Directory {
    /// By full name of a service or package, or empty.
    targets: BTreeMap<String, Vec<Uri>>,
    /// By logical name.
    logical: Upstreams,
    workers: usize,
    tls: Option<Arc<tls::Client>>,
    resolver: Arc<Resolver>,
    known: Mutex<BTreeMap<Key, Weak<Upstream>>>,
}

/// The service that it must be, where it is one of the mesh, and its URLs.
type Key = (Option<String>, Vec<String>);

impl Directory {
    /// Name of the upstream of whatever has no other.
    pub const DEFAULT: &str = "default";

    /// A directory of what the operator says, for `workers` workers. Targets of the same name are endpoints of one upstream.
    pub fn new(targets: &[Target], logical: &Upstreams, workers: usize) -> Self {
        let mut by_name: BTreeMap<String, Vec<Uri>> = BTreeMap::new();
        for target in targets {
            let uris = by_name.entry(target.name.clone()).or_default();
            if !uris.contains(&target.uri) {
                uris.push(target.uri.clone());
            }
        }
        Self {
            targets: by_name,
            logical: logical.clone(),
            workers,
            tls: None,
            resolver: Arc::default(),
            known: Mutex::default(),
        }
    }

    /// The same with TLS to upstreams with `https`.
    ///
    /// # Errors
    /// There are such upstreams, but nothing says whom to trust. Names the first.
    pub fn secured(self, tls: Option<Arc<tls::Client>>) -> anyhow::Result<Self> {
        if tls.is_none() {
            let targets = self.targets.values().flatten();
            let mut all = targets.chain(self.logical.iter().map(|(_, uri)| uri));
            if let Some(uri) = all.find(|uri| is_secure(uri)) {
                bail!("{uri}: TLS needs --upstream-tls-ca");
            }
        }
        Ok(Self { tls, ..self })
    }

    /// The upstream of a service: by its full name, else by its package or one around it, else by its logical name,
    /// else `home` (where its contract was read from), else the default.
    pub fn find(
        &self,
        service: &ServiceDescriptor,
        home: Option<&Target>,
    ) -> Option<Arc<Upstream>> {
        let name = service.full_name();
        let around = std::iter::successors(Some(name), |name| Some(name.rsplit_once('.')?.0));
        let mut named =
            around.filter_map(|name| self.targets.get(name).map(|uris| (name, &uris[..])));
        if let Some((name, uris)) = named.next() {
            return Some(self.upstream(name, uris, None));
        }
        let logical = logical_name(service);
        if let Some(uri) = self.logical.get(logical) {
            return Some(self.upstream(logical, std::slice::from_ref(uri), Some(logical)));
        }
        if let Some(home) = home {
            let uris = std::slice::from_ref(&home.uri);
            return Some(self.upstream(name, uris, home.service()));
        }
        let default = self.targets.get("")?;
        Some(self.upstream(Self::DEFAULT, default, None))
    }

    /// The upstream that the operator calls so.
    pub(crate) fn named(&self, name: &str) -> Option<Arc<Upstream>> {
        let (uris, service) = self.named_uris(name)?;
        Some(self.upstream(name, uris, service))
    }

    /// The system that the operator calls so, which speaks plain HTTP.
    pub(crate) fn site(&self, name: &str, is_http2: bool) -> Option<Arc<Site>> {
        let (uris, service) = self.named_uris(name)?;
        let origins = uris.iter();
        let origins = origins.map(|uri| Origin::new(uri, self.tls.as_ref(), service));
        let site = Site::new(name, origins.collect(), self.workers, is_http2);
        Some(Arc::new(site))
    }

    /// Its URLs, and the service that it must be, where it is one of the mesh.
    fn named_uris<'s>(&'s self, name: &'s str) -> Option<(&'s [Uri], Option<&'s str>)> {
        let target = match name {
            Self::DEFAULT => "",
            name => name,
        };
        if let Some(uris) = self.targets.get(target) {
            return Some((uris, None));
        }
        let uri = self.logical.get(name)?;
        Some((std::slice::from_ref(uri), Some(name)))
    }

    /// `service`: what must stand in its certificate, where it is one of the mesh.
    fn upstream(&self, name: &str, uris: &[Uri], service: Option<&str>) -> Arc<Upstream> {
        let key = (
            service.map(ToOwned::to_owned),
            uris.iter().map(ToString::to_string).collect(),
        );
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(upstream) = known.get(&key).and_then(Weak::upgrade) {
            return upstream;
        }
        let origins = uris.iter();
        let origins = origins.map(|uri| Origin::new(uri, self.tls.as_ref(), service));
        let origins = origins.collect();
        let upstream = Arc::new(Upstream::new(name, origins, self.workers, &self.resolver));
        known.retain(|_, upstream| upstream.strong_count() > 0);
        known.insert(key, Arc::downgrade(&upstream));
        drop(known);
        // Its names are not looked up yet.
        self.resolver.hurry();
        upstream
    }

    /// All that are in use.
    pub(super) fn upstreams(&self) -> Vec<Arc<Upstream>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.values().filter_map(Weak::upgrade).collect()
    }

    pub(super) fn resolver(&self) -> &Resolver {
        &self.resolver
    }
}

/// `<service>` of package `caravan.<service>.v1`: the last part of the package that is no version.
fn logical_name(service: &ServiceDescriptor) -> &str {
    let is_version = |part: &str| {
        let digits = part.strip_prefix('v').unwrap_or_default();
        digits.starts_with(|c: char| c.is_ascii_digit())
    };
    let mut parts = service.package_name().rsplit('.');
    parts.find(|part| !is_version(part)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(targets: &[&str]) -> Directory {
        let targets: Vec<Target> = targets
            .iter()
            .map(|t| t.parse().expect("a target"))
            .collect();
        let logical = "catalog=http://logical:1".parse().expect("upstreams");
        Directory::new(&targets, &logical, 1)
    }

    fn found(directory: &Directory, service: &str, home: Option<&str>) -> Option<String> {
        let service = contracts::DESCRIPTOR_POOL.get_service_by_name(service);
        let home = home.map(|home| home.parse().expect("a target"));
        let upstream = directory.find(&service.expect("a service"), home.as_ref())?;
        let origins = upstream.origins.iter();
        let authorities = origins.map(|origin| origin.authority().as_str());
        Some(authorities.collect::<Vec<_>>().join(" "))
    }

    const CATALOG: &str = "caravan.catalog.v1.CatalogService";
    const ORDERING: &str = "caravan.ordering.v1.OrderingService";

    #[test]
    fn the_nearest_name_wins() {
        let all = directory(&[
            "http://default:1",
            "caravan.ordering.v1.OrderingService=http://a:1",
            "caravan.ordering.v1.OrderingService=http://b:2",
            "caravan.ordering=http://package:1",
        ]);
        assert_eq!(found(&all, ORDERING, None).as_deref(), Some("a:1 b:2"));
        assert_eq!(found(&all, CATALOG, None).as_deref(), Some("logical:1"));
        let some = directory(&["http://default:1", "caravan.ordering=http://package:1"]);
        assert_eq!(found(&some, ORDERING, None).as_deref(), Some("package:1"));
        let none = directory(&[]);
        assert_eq!(found(&none, ORDERING, None), None);
        let home = found(&none, ORDERING, Some("http://home:1"));
        assert_eq!(home.as_deref(), Some("home:1"));
    }

    #[test]
    fn upstreams_are_kept() {
        let all = directory(&["http://default:1"]);
        let service = contracts::DESCRIPTOR_POOL.get_service_by_name(ORDERING);
        let service = service.expect("a service");
        let first = all.find(&service, None).expect("the default");
        assert!(Arc::ptr_eq(
            &first,
            &all.find(&service, None).expect("the default")
        ));
        let gone = Arc::downgrade(&first);
        drop(first);
        assert!(gone.upgrade().is_none() && all.upstreams().is_empty());
    }

    #[test]
    fn tls_needs_to_know_whom_to_trust() {
        let error = directory(&["https://default:1"]).secured(None).map(drop);
        let error = error.expect_err("nobody is trusted").to_string();
        assert!(error.contains("https://default:1"), "{error}");
        assert!(directory(&["http://default:1"]).secured(None).is_ok());
    }

    #[test]
    fn a_bad_target_is_refused() {
        for text in [
            "a b=http://x:1",
            "a.B=ftp://x:1",
            "a.B=x",
            "nothing",
            "a.B=",
        ] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }
}

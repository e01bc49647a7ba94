//! What holds for one rpc or one of its routes, made ready when a contract is compiled.

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash as _, Hasher as _},
    sync::{Arc, atomic::Ordering},
};

use contracts::{caravan::options::v1::Access, policy::MethodPolicy};

use super::{
    Policies, access,
    kept::CacheRule,
    rate::Quota,
    settings::{
        PrefixSettings, RouteRate, RouteSettings, SettingsError, ShareSettings, SplitSettings,
    },
};
use crate::{
    plain::{Prefix, Prefixes},
    upstream::{Directory, Share, Split},
};

/// What holds for one rpc, or for one of its routes.
#[derive(Debug)]
pub struct Rules {
    /// Another for each contract and route.
    pub(super) id: u64,
    /// Who may call; `None` where that is not checked here.
    pub(super) access: Option<Access>,
    /// How often; `None` where that is not limited.
    pub(super) quota: Option<Quota>,
    /// How long answers are kept; `None` where they are not.
    pub(super) cache: Option<CacheRule>,
    pub(super) compression: bool,
    /// Largest body, in bytes.
    pub(crate) max_body_bytes: usize,
    /// What shares its requests; `None` where one upstream has them all.
    pub(crate) split: Option<Arc<Split>>,
}

/// An rpc, or one of its routes, that needs rules.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'s> {
    /// `/package.Service/Method`
    pub(crate) path: &'s str,
    /// Verb and template of the route; `None` for the rpc itself.
    pub(crate) route: Option<(&'s str, &'s str)>,
    pub(crate) policy: &'s MethodPolicy,
    /// Whether all routes of the rpc are GET, so that it counts as a read.
    pub(crate) reads: bool,
    /// Whether it answers with one message to one.
    pub(crate) unary: bool,
}

impl Subject<'_> {
    fn is(&self, route: &str) -> bool {
        match (self.route, route.split_once(char::is_whitespace)) {
            (Some((verb, template)), Some((wanted, path))) => {
                verb.eq_ignore_ascii_case(wanted) && template == path.trim()
            }
            (None, None) => self.path.trim_start_matches('/') == route,
            _ => false,
        }
    }

    /// How near it is to `of`: to its route, its rpc, its service, or a package around that. `None` where it is none of these.
    fn nearness(&self, of: &str) -> Option<usize> {
        if self.is(of) {
            return Some(usize::MAX);
        }
        let rpc = self.path.trim_start_matches('/');
        if rpc == of {
            return Some(usize::MAX - 1);
        }
        let service = rpc.split('/').next().unwrap_or_default();
        let rest = service.strip_prefix(of)?;
        (rest.is_empty() || rest.starts_with('.')).then_some(of.len())
    }
}

impl Policies {
    /// The rules of an rpc.
    pub(crate) fn rules(&self, subject: Subject<'_>) -> Rules {
        self.ruled_by(subject, &self.own(subject))
    }

    /// The rules of a route, where the operator says something about it alone.
    pub(crate) fn route_rules(&self, subject: Subject<'_>) -> Option<Rules> {
        let own = self.own(subject);
        let mut splits = self.splits.iter();
        if own.is_empty() && !splits.any(|(of, _)| subject.is(of)) {
            return None;
        }
        let rpc = Subject {
            route: None,
            ..subject
        };
        let own: Vec<_> = own.into_iter().chain(self.own(rpc)).collect();
        Some(self.ruled_by(subject, &own))
    }

    fn own(&self, subject: Subject<'_>) -> Vec<&RouteSettings> {
        let routes = self.settings.routes.iter();
        routes.filter(|route| subject.is(&route.route)).collect()
    }

    /// `own`: what the operator says, the nearest first.
    fn ruled_by(&self, subject: Subject<'_>, own: &[&RouteSettings]) -> Rules {
        let policy = subject.policy;
        let mut switches = self.settings.switches;
        for own in own {
            switches = own.switches(switches);
        }
        let access = own.iter().find_map(|own| own.access.as_ref());
        let access = access.or(policy.access.as_ref());
        let (name, rate) = match own.iter().find_map(|own| own.rate) {
            Some(RouteRate::Own(rate)) => ("route", Some(rate)),
            Some(RouteRate::Class(class)) => self.class(class, subject.reads),
            None => self.class(policy.rate_class, subject.reads),
        };
        // A route that the operator speaks of is counted by itself.
        let is_own_rate = own.first().is_some_and(|own| own.rate.is_some());
        let counted = (subject.path, subject.route.filter(|_| is_own_rate));
        let mut hasher = DefaultHasher::new();
        counted.hash(&mut hasher);
        let quota = rate.filter(|_| switches.rate);
        let own_cache = own.iter().find_map(|own| own.cache);
        let is_kept = switches.cache && subject.unary;
        let split = self.split_of(subject);
        let mut cache = CacheRule::of(policy, access, own_cache).filter(|_| is_kept);
        if let (Some(cache), Some(split)) = (&mut cache, &split) {
            cache.vary_by(split.headers());
        }
        Rules {
            id: self.next_id.fetch_add(1, Ordering::Relaxed),
            access: access.filter(|_| switches.access).cloned(),
            quota: quota.map(|rate| Quota::new(name, rate, hasher.finish())),
            cache,
            compression: switches.compression,
            max_body_bytes: own
                .iter()
                .find_map(|own| own.max_body_bytes)
                .unwrap_or(self.settings.limits.body_bytes),
            split,
        }
    }

    /// The nearest one.
    fn split_of(&self, subject: Subject<'_>) -> Option<Arc<Split>> {
        let splits = self.splits.iter();
        let splits = splits.filter_map(|(of, split)| Some((subject.nearness(of)?, split)));
        let (_, nearest) = splits.max_by_key(|(nearness, _)| *nearness)?;
        Some(nearest.clone())
    }

    /// Finds the upstreams that share something.
    ///
    /// # Errors
    /// The first that nobody named, with its line.
    pub(super) fn shared(
        &self,
        upstreams: &Directory,
    ) -> Result<Vec<(String, Arc<Split>)>, SettingsError> {
        let split = |from: &SplitSettings| {
            let share = |from: &ShareSettings| {
                let upstream = upstreams.named(&from.upstream);
                Ok(Share {
                    upstream: upstream
                        .ok_or_else(|| unknown_upstream(&from.place, &from.upstream))?,
                    name: from.upstream.as_str().into(),
                    weight: from.weight,
                    when: from.when.clone().into(),
                })
            };
            let shares = from.shares.iter().map(share);
            let shares = shares.collect::<Result<_, _>>()?;
            let split = Split::new(&from.of, from.is_sticky, shares);
            Ok((from.of.clone(), Arc::new(split)))
        };
        self.settings.splits.iter().map(split).collect()
    }

    fn class(
        &self,
        class: contracts::caravan::options::v1::RateClass,
        reads: bool,
    ) -> (&'static str, Option<super::rate::Rate>) {
        match self.settings.rates.of(class, reads) {
            Some((name, rate)) => (name, Some(rate)),
            None => ("unlimited", None),
        }
    }

    /// Finds the old systems.
    ///
    /// # Errors
    /// The first that nobody named, or that nobody could be let in to, with its line.
    pub(super) fn prefixed(&self, upstreams: &Directory) -> Result<Prefixes, SettingsError> {
        let prefix = |from: &PrefixSettings| {
            let is_open = from.access.public || access::is_for_nobody(&from.access);
            if self.verifier.is_none() && !is_open {
                return Err(SettingsError(format!(
                    "{}: only some may come here, but nothing checks tokens: name the identity service in --upstreams",
                    from.access_place
                )));
            }
            let site = upstreams.site(&from.upstream, from.is_http2);
            let site = site.ok_or_else(|| unknown_upstream(&from.place, &from.upstream))?;
            let rules = self.prefix_rules(from);
            let prefix = Prefix::new(&from.prefix, rules, site, (from.deadline, from.keeps_host));
            prefix.ok_or_else(|| SettingsError(format!("{}: no prefix", from.place)))
        };
        let prefixes = self.settings.prefixes.iter().map(prefix);
        Ok(Prefixes::new(prefixes.collect::<Result<_, _>>()?))
    }

    fn prefix_rules(&self, from: &PrefixSettings) -> Rules {
        let rate = match from.rate {
            Some(RouteRate::Own(rate)) => Some(("route", rate)),
            Some(RouteRate::Class(class)) => self.settings.rates.of(class, false),
            None => None,
        };
        let mut hasher = DefaultHasher::new();
        ("prefix", &from.prefix).hash(&mut hasher);
        let rate = rate.filter(|_| self.settings.switches.rate);
        Rules {
            id: self.next_id.fetch_add(1, Ordering::Relaxed),
            // Whatever is switched off: nobody behind it knows our tokens.
            access: Some(from.access.clone()),
            quota: rate.map(|(name, rate)| Quota::new(name, rate, hasher.finish())),
            cache: None,
            // What comes is given on as it is.
            compression: false,
            max_body_bytes: from
                .max_body_bytes
                .unwrap_or(self.settings.limits.body_bytes),
            split: None,
        }
    }

    /// Whether every route that the operator names is one of these.
    ///
    /// # Errors
    /// The first that is not, with its line.
    pub(crate) fn check<'s>(
        &self,
        subjects: impl Iterator<Item = Subject<'s>>,
    ) -> Result<(), SettingsError> {
        let subjects: Vec<_> = subjects.collect();
        let unknown = |own: &&RouteSettings| !subjects.iter().any(|subject| subject.is(&own.route));
        match self.settings.routes.iter().find(unknown) {
            None => {}
            Some(own) => {
                return Err(SettingsError(format!(
                    "{}: no contract has a route `{}`",
                    own.place, own.route
                )));
            }
        }
        let reaches = |of: &str| subjects.iter().any(|near| near.nearness(of).is_some());
        let mut splits = self.settings.splits.iter();
        match splits.find(|split| !reaches(&split.of)) {
            None => Ok(()),
            Some(split) => Err(SettingsError(format!(
                "{}: no contract has a package, service, rpc or route `{}`",
                split.place, split.of
            ))),
        }
    }
}

fn unknown_upstream(place: &str, name: &str) -> SettingsError {
    SettingsError(format!(
        "{place}: no --upstream or --upstreams is called `{name}`"
    ))
}

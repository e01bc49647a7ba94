//! What holds for one rpc or one of its routes, made ready when a contract is compiled.

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash as _, Hasher as _},
    sync::atomic::Ordering,
};

use contracts::{caravan::options::v1::Access, policy::MethodPolicy};

use super::{
    Policies,
    kept::CacheRule,
    rate::Quota,
    settings::{RouteRate, RouteSettings, SettingsError},
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
}

impl Policies {
    /// The rules of an rpc.
    pub(crate) fn rules(&self, subject: Subject<'_>) -> Rules {
        self.ruled_by(subject, &self.own(subject))
    }

    /// The rules of a route, where the operator says something about it alone.
    pub(crate) fn route_rules(&self, subject: Subject<'_>) -> Option<Rules> {
        let own = self.own(subject);
        if own.is_empty() {
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
        Rules {
            id: self.next_id.fetch_add(1, Ordering::Relaxed),
            access: access.filter(|_| switches.access).cloned(),
            quota: quota.map(|rate| Quota::new(name, rate, hasher.finish())),
            cache: CacheRule::of(policy, access, own_cache).filter(|_| is_kept),
            compression: switches.compression,
            max_body_bytes: own
                .iter()
                .find_map(|own| own.max_body_bytes)
                .unwrap_or(self.settings.limits.body_bytes),
        }
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
            None => Ok(()),
            Some(own) => Err(SettingsError(format!(
                "{}: no contract has a route `{}`",
                own.place, own.route
            ))),
        }
    }
}

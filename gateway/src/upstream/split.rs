//! One service in several versions: which of them a request goes to, and what becomes of it where that one is away.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, uri::PathAndQuery};

use super::{Call, Failed, Messages, Outgoing, Reply, Upstream, metrics};
use crate::status::Status;

/// No upstream was asked yet.
const NONE: usize = usize::MAX;

/// What shares the requests of a package, a service, an rpc or a route.
#[derive(Debug)]
pub(crate) struct Split {
    /// What is split.
    of: Box<str>,
    /// Whether a caller always comes to the same one.
    is_sticky: bool,
    shares: Box<[Share]>,
}

/// One of those that share.
#[derive(Debug)]
pub(crate) struct Share {
    pub(crate) upstream: Arc<Upstream>,
    /// What it is called by the operator.
    pub(crate) name: Box<str>,
    /// Its part of all requests, beside the weights of the others.
    pub(crate) weight: u32,
    /// Requests that have all of these come here, whatever the weights. None: no request does so.
    pub(crate) when: Box<[(HeaderName, HeaderValue)]>,
}

impl Split {
    /// At least one of the weights is not 0.
    pub(crate) fn new(of: &str, is_sticky: bool, shares: Box<[Share]>) -> Self {
        // Of equal ones the first.
        let heaviest = shares.iter().rev().max_by_key(|share| share.weight);
        let heaviest = heaviest.map(|share| share.upstream.clone());
        for share in &shares {
            // The one that most requests go to fails together with what is behind all.
            if heaviest
                .as_ref()
                .is_some_and(|heaviest| !Arc::ptr_eq(heaviest, &share.upstream))
            {
                share.upstream.peers.stand_beside_others();
            }
        }
        Self {
            of: of.into(),
            is_sticky,
            shares,
        }
    }

    pub(crate) fn is_sticky(&self) -> bool {
        self.is_sticky
    }

    /// Headers that choose.
    pub(crate) fn headers(&self) -> impl Iterator<Item = &HeaderName> {
        let names = self.shares.iter().flat_map(|share| &share.when);
        names.map(|(name, _)| name)
    }

    /// Where a request goes: where its headers say, else by the weights. `point` says where a caller stands among all, anywhere
    /// between 0 and the largest number.
    pub(crate) fn choose(self: &Arc<Self>, headers: &HeaderMap, point: u64) -> Chosen {
        let mut shares = self.shares.iter();
        let asked_for = shares.position(|share| share.is_asked_for(headers));
        let first = asked_for.or_else(|| self.at(point, |_| true)).unwrap_or(0);
        let share = match asked_for {
            Some(_) => first,
            None if self.shares[first].upstream.is_well() => first,
            None => self.beside(first, point).unwrap_or(first),
        };
        Chosen {
            split: self.clone(),
            share,
            is_asked_for: asked_for.is_some(),
            asked: AtomicUsize::new(NONE),
            since: Instant::now(),
        }
    }

    /// One that is well, in place of `first`.
    fn beside(&self, first: usize, point: u64) -> Option<usize> {
        let is_well = |index: usize| index != first && self.shares[index].upstream.is_well();
        let well: Vec<_> = (0..self.shares.len()).map(is_well).collect();
        let other = self.at(point, |index| well[index])?;
        metrics::fell_back(&self.of, &self.shares[first].name);
        Some(other)
    }

    /// The one at a point of the line that all weights make. `None` where none with a weight may be taken.
    fn at(&self, point: u64, may: impl Fn(usize) -> bool) -> Option<usize> {
        let weights = self.shares.iter().map(|share| u64::from(share.weight));
        let weights = weights.enumerate().filter(|(index, _)| may(*index));
        let total: u64 = weights.clone().map(|(_, weight)| weight).sum();
        // Below `total`, since the point is below 2^64.
        let mut rest = ((u128::from(point) * u128::from(total)) >> u64::BITS) as u64;
        for (index, weight) in weights {
            if rest < weight {
                return Some(index);
            }
            rest -= weight;
        }
        None
    }
}

impl Share {
    fn is_asked_for(&self, headers: &HeaderMap) -> bool {
        let mut when = self.when.iter();
        let says = |(name, value): &(HeaderName, HeaderValue)| {
            headers.get_all(name).iter().any(|found| found == value)
        };
        !self.when.is_empty() && when.all(says)
    }
}

/// Where one request goes.
#[derive(Debug)]
pub(crate) struct Chosen {
    split: Arc<Split>,
    share: usize,
    /// The request named it, so no other will do.
    is_asked_for: bool,
    /// The last that was asked.
    asked: AtomicUsize,
    /// When it was chosen.
    since: Instant,
}

impl Clone for Chosen {
    /// For a call that outlives its request.
    fn clone(&self) -> Self {
        Self {
            split: self.split.clone(),
            share: self.share,
            is_asked_for: self.is_asked_for,
            asked: AtomicUsize::new(NONE),
            since: self.since,
        }
    }
}

impl Chosen {
    /// Tells apart what different ones answer.
    pub(crate) fn index(&self) -> usize {
        self.share
    }

    /// Counts how the call ended at the one that was asked, `OK` or another code; nothing where none was.
    pub(crate) fn ended(&self, code: &'static str) {
        if let Some(share) = self.asked() {
            metrics::shared(&self.split.of, &share.name, code);
        }
    }

    /// As [`Self::ended`], with the time to the answer's headers.
    pub(crate) fn answered(&self, code: &'static str) {
        self.ended(code);
        if let Some(share) = self.asked() {
            metrics::shared_latency(&self.split.of, &share.name, self.since.elapsed());
        }
    }

    fn asked(&self) -> Option<&Share> {
        self.split.shares.get(self.asked.load(Ordering::Relaxed))
    }

    async fn unary(&self, call: Call<'_>) -> Result<Bytes, Status> {
        let mut turn = Turn::new(self);
        loop {
            match turn.upstream().try_unary(call.clone()).await {
                Ok(message) => return Ok(message),
                Err(failed) => turn.next(failed)?,
            }
        }
    }

    async fn call(&self, call: Call<'_>) -> Result<Messages, Status> {
        let mut turn = Turn::new(self);
        loop {
            match turn.upstream().try_call(call.clone()).await {
                Ok(messages) => return Ok(messages),
                Err(failed) => turn.next(failed)?,
            }
        }
    }

    async fn open(
        &self,
        path: &PathAndQuery,
        metadata: &HeaderMap,
    ) -> Result<(Outgoing, Reply), Status> {
        let mut turn = Turn::new(self);
        loop {
            match turn.upstream().open(path, metadata).await {
                Ok(call) => return Ok(call),
                // It did not begin anywhere.
                Err(status) => turn.next(Failed {
                    status,
                    may_go_elsewhere: true,
                })?,
            }
        }
    }
}

/// Where a call goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way<'w> {
    /// To the upstream of its service.
    Only(&'w Upstream),
    /// To one of several.
    Shared(&'w Chosen),
}

impl Way<'_> {
    /// As [`Upstream::unary`].
    pub(crate) async fn unary(self, call: Call<'_>) -> Result<Bytes, Status> {
        match self {
            Self::Only(upstream) => upstream.unary(call).await,
            // What is rarer has a future of its own, so that each request's stays small.
            Self::Shared(chosen) => Box::pin(chosen.unary(call)).await,
        }
    }

    /// As [`Upstream::call`].
    pub(crate) async fn call(self, call: Call<'_>) -> Result<Messages, Status> {
        match self {
            Self::Only(upstream) => upstream.call(call).await,
            Self::Shared(chosen) => Box::pin(chosen.call(call)).await,
        }
    }

    /// As [`Upstream::open`].
    pub(crate) async fn open(
        self,
        path: &PathAndQuery,
        metadata: &HeaderMap,
    ) -> Result<(Outgoing, Reply), Status> {
        match self {
            Self::Only(upstream) => upstream.open(path, metadata).await,
            Self::Shared(chosen) => Box::pin(chosen.open(path, metadata)).await,
        }
    }
}

/// Goes from one to the next as long as nobody has answered.
struct Turn<'c> {
    chosen: &'c Chosen,
    now: usize,
    tried: Vec<usize>,
}

impl<'c> Turn<'c> {
    fn new(chosen: &'c Chosen) -> Self {
        let turn = Self {
            chosen,
            now: chosen.share,
            tried: Vec::new(),
        };
        turn.note();
        turn
    }

    fn note(&self) {
        self.chosen.asked.store(self.now, Ordering::Relaxed);
    }

    fn upstream(&self) -> &'c Upstream {
        &self.chosen.split.shares[self.now].upstream
    }

    /// Goes on to another one.
    ///
    /// # Errors
    /// There is none, or the call may have been made.
    fn next(&mut self, failed: Failed) -> Result<(), Status> {
        let Failed {
            status,
            may_go_elsewhere,
        } = failed;
        if !may_go_elsewhere || self.chosen.is_asked_for {
            return Err(status);
        }
        let split = &self.chosen.split;
        self.tried.push(self.now);
        let may = |index: usize| !self.tried.contains(&index);
        let Some(next) = split.at(fastrand::u64(..), may) else {
            return Err(status);
        };
        metrics::fell_back(&split.of, &split.shares[self.now].name);
        self.now = next;
        self.note();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::{Directory, Target};

    fn split(weights: &[u32]) -> Arc<Split> {
        let targets = (0..weights.len()).map(|index| format!("u{index}=http://127.0.0.{index}:1"));
        let targets: Vec<Target> = targets
            .map(|target| target.parse().expect("a target"))
            .collect();
        let directory = Directory::new(&targets, &Default::default(), 1);
        let share = |(index, weight): (usize, &u32)| Share {
            upstream: directory.named(&format!("u{index}")).expect("known"),
            name: format!("u{index}").into(),
            weight: *weight,
            when: Box::default(),
        };
        let shares = weights.iter().enumerate().map(share);
        Arc::new(Split::new("a.B", false, shares.collect()))
    }

    fn chosen(weights: &[u32], point: u64) -> usize {
        split(weights).choose(&HeaderMap::new(), point).index()
    }

    #[test]
    fn weights_are_parts_of_the_line() {
        let at = |part: f64| (part * u64::MAX as f64) as u64;
        for (weights, part, expected) in [
            (&[95, 5][..], 0.0, 0),
            (&[95, 5], 0.949, 0),
            (&[95, 5], 0.951, 1),
            (&[95, 5], 1.0, 1),
            (&[0, 1], 0.0, 1),
            (&[1, 0], 1.0, 0),
            (&[1, 2, 1], 0.3, 1),
            (&[1, 2, 1], 0.8, 2),
            (&[1_000_000, 1_000_000], 0.6, 1),
        ] {
            assert_eq!(chosen(weights, at(part)), expected, "{weights:?} {part}");
        }
    }

    #[test]
    fn who_is_on_the_canary_stays_there_while_it_grows() {
        for step in 0..1_000 {
            let point = step * (u64::MAX / 1_000);
            let grown = [[99, 1], [95, 5], [50, 50], [0, 100]].map(|w| chosen(&w, point));
            assert!(grown.is_sorted(), "{grown:?}");
        }
    }
}

//! How a request is answered from what is kept, and what is kept of an answer (RFC 9111, RFC 9110 13.1.2, RFC 5861).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use contracts::{
    caravan::options::v1::{Access, Cache},
    policy::MethodPolicy,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use sha2::{Digest as _, Sha256};
use tokio::{sync::watch, time::timeout};

use super::{
    Rules,
    cache::{Kept, Lookup, Outcome, Store, etag},
    compress::Variants,
    metrics,
    settings::RouteCache,
};
use crate::{
    answer::{Answer, Body},
    exchange::Exchange,
    headers::Times,
    problem::Problem,
    status::Status,
};

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
/// Longest wait for the answer to somebody else's question where the client names none.
const MAX_WAIT: Duration = Duration::from_secs(30);
/// Headers of an answer that are kept with it.
const KEPT_HEADERS: [HeaderName; 2] = [header::CONTENT_TYPE, header::LOCATION];

/// How answers of a route are kept.
#[derive(Clone, Debug)]
pub(super) struct CacheRule {
    ttl: Duration,
    stale_if_error: Duration,
    per_caller: bool,
    /// Headers that an answer depends on, e.g. since they fill fields of the request.
    fields: Box<[HeaderName]>,
}

impl CacheRule {
    /// What the contract says, or the operator instead. `access` is what holds here.
    pub(super) fn of(
        policy: &MethodPolicy,
        access: Option<&Access>,
        own: Option<RouteCache>,
    ) -> Option<Self> {
        let is_public = access.is_none_or(|access| access.public);
        let contract = policy.cache.as_ref();
        let times = match (own, contract) {
            (Some(own), _) => (own.ttl, own.stale_if_error),
            (None, Some(contract)) => times(contract),
            (None, None) => return None,
        };
        let per_caller = own
            .and_then(|own| own.per_caller)
            .unwrap_or_else(|| contract.is_some_and(|contract| contract.per_caller));
        let fields = policy.rest.header_fields.iter();
        Some(Self {
            ttl: times.0,
            stale_if_error: times.1,
            per_caller: per_caller || !is_public,
            fields: fields
                .filter_map(|field| field.header.parse().ok())
                .collect(),
        })
    }

    /// Answers depend on these headers too.
    pub(super) fn vary_by<'h>(&mut self, headers: impl Iterator<Item = &'h HeaderName>) {
        let mut fields = self.fields.to_vec();
        for header in headers {
            if !fields.contains(header) {
                fields.push(header.clone());
            }
        }
        self.fields = fields.into();
    }

    /// The name under which an answer is kept: the rpc, what was asked, and who asks where that matters.
    fn key(&self, rules: &Rules, exchange: &Exchange<'_>) -> Vec<u8> {
        let (head, uri) = (exchange.head, &exchange.head.uri);
        let query = uri.query().unwrap_or_default();
        let mut key = Vec::with_capacity(uri.path().len() + query.len() + 48);
        key.extend_from_slice(&rules.id.to_le_bytes());
        if let Some(chosen) = exchange.chosen {
            // Versions may answer differently.
            key.extend_from_slice(&chosen.index().to_le_bytes());
        }
        key.extend_from_slice(uri.path().as_bytes());
        key.push(b'?');
        key.extend_from_slice(query.as_bytes());
        for name in &self.fields {
            for value in head.headers.get_all(name) {
                key.push(b'\n');
                key.extend_from_slice(value.as_bytes());
            }
            key.push(b'\r');
        }
        if self.per_caller {
            // Of the token and not of who holds it: another token may have other roles.
            let token = head.headers.get(header::AUTHORIZATION);
            let token = token.map(HeaderValue::as_bytes).unwrap_or_default();
            key.push(b'\n');
            key.extend_from_slice(&Sha256::digest(token));
        }
        key
    }

    /// What is kept of an answer; `None` where it is no plain success.
    fn kept(&self, asked_at: Instant, answer: &Answer) -> Option<Arc<Kept>> {
        let Body::Whole(body) = answer.body() else {
            return None;
        };
        if answer.status() != StatusCode::OK {
            return None;
        }
        let mut headers = HeaderMap::new();
        for name in KEPT_HEADERS {
            if let Some(value) = answer.headers().get(&name) {
                headers.insert(name, value.clone());
            }
        }
        let fresh_until = asked_at + self.ttl;
        Some(Arc::new(Kept {
            headers,
            etag: etag(body),
            body: body.clone(),
            variants: Variants::default(),
            asked_at,
            fresh_until,
            stale_until: fresh_until + self.stale_if_error,
        }))
    }

    fn answer(&self, kept: &Kept, how: &'static str, request: &HeaderMap) -> Answer {
        let is_known = request
            .get(header::IF_NONE_MATCH)
            .is_some_and(|tags| matches(tags, &kept.etag));
        let mut answer = Answer::new(match is_known {
            true => Body::default(),
            false => Body::Whole(kept.body.clone()),
        });
        let headers = answer.headers_mut();
        if !is_known {
            headers.clone_from(&kept.headers);
        }
        headers.insert(header::ETAG, kept.etag.clone());
        headers.insert(CACHE_STATUS, HeaderValue::from_static(how));
        let now = Instant::now();
        let age = now.saturating_duration_since(kept.asked_at).as_secs();
        if age > 0 {
            headers.insert(header::AGE, age.into());
        }
        let left = kept.fresh_until.saturating_duration_since(now).as_secs();
        let scope = if self.per_caller { "private" } else { "public" };
        if let Ok(control) = HeaderValue::try_from(format!("{scope}, max-age={left}")) {
            headers.insert(header::CACHE_CONTROL, control);
        }
        if self.per_caller {
            headers.append(header::VARY, HeaderValue::from_static("authorization"));
        }
        for field in &self.fields {
            headers.append(header::VARY, HeaderValue::from_name(field.clone()));
        }
        if is_known {
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
        } else {
            answer.extensions_mut().insert(kept.variants.clone());
        }
        answer
    }
}

fn times(contract: &Cache) -> (Duration, Duration) {
    let time = |time: Option<prost_types::Duration>| {
        time.and_then(|time| Duration::try_from(time).ok())
            .unwrap_or_default()
    };
    (time(contract.ttl), time(contract.stale_if_error))
}

/// If-None-Match by weak comparison.
pub(crate) fn matches(tags: &HeaderValue, etag: &HeaderValue) -> bool {
    let (Ok(tags), Ok(etag)) = (tags.to_str(), etag.to_str()) else {
        return false;
    };
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let etag = opaque(etag);
    tags.trim() == "*" || tags.split(',').any(|tag| opaque(tag) == etag)
}

/// The path without its custom verb: `/v1/products/7:retire` changes `/v1/products/7`.
fn resource(path: &str) -> &str {
    let last = path.rfind('/').unwrap_or_default();
    match path[last..].rfind(':') {
        Some(colon) => &path[..last + colon],
        None => path,
    }
}

/// A change made through this gateway: what is kept of the resource, and of the collection that it is in, is forgotten.
pub(super) fn changed(store: &Store, exchange: &Exchange<'_>) {
    let resource = resource(exchange.head.uri.path());
    store.forget(resource);
    if let Some(last) = resource.rfind('/').filter(|last| *last > 0) {
        store.forget(&resource[..last]);
    }
}

/// Methods that change nothing.
pub(super) fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// The answer that is kept, or that of `fetch`. Of requests for the same one asks; the others wait for its answer.
pub(super) async fn answer(
    store: &Store,
    (rules, rule): (&Rules, &CacheRule),
    exchange: &Exchange<'_>,
    fetch: impl Future<Output = Result<Answer, Problem>>,
) -> Result<Answer, Problem> {
    let request = &exchange.head.headers;
    if says(request, "no-store") {
        metrics::cached("bypass");
        return fetch.await;
    }
    let refresh = says(request, "no-cache");
    let question = Question {
        store,
        rule,
        request,
        resource: resource(exchange.head.uri.path()),
        key: rule.key(rules, exchange),
    };
    loop {
        let (sender, stale) = match store.find(question.resource, &question.key, refresh) {
            Lookup::Fresh(kept) => {
                metrics::cached("hit");
                return Ok(rule.answer(&kept, "gateway; hit", request));
            }
            Lookup::Ask(sender, stale) => (sender, stale),
            Lookup::Wait(flight) => match question.wait(flight).await? {
                Waited::Answered(answer) => return Ok(*answer),
                Waited::Alone(stale) => (None, stale),
                Waited::Left => continue,
            },
        };
        return question.ask(sender, stale, fetch).await;
    }
}

/// Whether a request's Cache-Control has this word.
fn says(request: &HeaderMap, word: &str) -> bool {
    let controls = request.get_all(header::CACHE_CONTROL).iter();
    let mut controls = controls.filter_map(|value| value.to_str().ok());
    controls.any(|control| {
        let mut said = control.split(',');
        said.any(|said| said.trim().eq_ignore_ascii_case(word))
    })
}

/// What is asked, and where its answer is kept.
struct Question<'q> {
    store: &'q Store,
    rule: &'q CacheRule,
    request: &'q HeaderMap,
    resource: &'q str,
    key: Vec<u8>,
}

/// What came of waiting for somebody else's answer.
enum Waited {
    Answered(Box<Answer>),
    /// It failed or may not be kept: each asks for itself; with what is kept for the case that it fails.
    Alone(Option<Arc<Kept>>),
    /// The one who asked went away.
    Left,
}

impl Question<'_> {
    async fn wait(&self, mut flight: watch::Receiver<Outcome>) -> Result<Waited, Problem> {
        let longest = Times::of(self.request, None).map_or(MAX_WAIT, |times| times.deadline);
        let landed = flight.wait_for(|outcome| *outcome != Outcome::Running);
        let outcome = match timeout(longest, landed).await {
            Err(_) => return Err(Problem::of_status(&Status::deadline_exceeded())),
            Ok(Err(_)) => return Ok(Waited::Left),
            Ok(Ok(outcome)) => *outcome,
        };
        Ok(match self.store.kept(self.resource, &self.key) {
            Some(kept) if outcome == Outcome::Stored => {
                metrics::cached("coalesced");
                let how = "gateway; hit; collapsed";
                Waited::Answered(Box::new(self.rule.answer(&kept, how, self.request)))
            }
            stale => Waited::Alone(stale),
        })
    }

    /// Asks, for all who wait where there is a `sender`.
    async fn ask(
        &self,
        sender: Option<watch::Sender<Outcome>>,
        stale: Option<Arc<Kept>>,
        fetch: impl Future<Output = Result<Answer, Problem>>,
    ) -> Result<Answer, Problem> {
        let asked_at = Instant::now();
        let outcome = fetch.await;
        let kept = outcome.as_ref().ok();
        let kept = kept.and_then(|answer| self.rule.kept(asked_at, answer));
        if let Some(kept) = &kept {
            self.store.keep(self.resource, &self.key, kept.clone());
        }
        if let Some(sender) = sender {
            self.store.landed(self.resource, &self.key);
            sender.send_replace(match kept {
                Some(_) => Outcome::Stored,
                None => Outcome::NotKept,
            });
        }
        let (counted, answer) = match (outcome, kept, stale) {
            (Ok(_), Some(kept), _) => ("miss", (kept, "gateway; fwd=miss; stored")),
            (Err(problem), _, Some(stale)) if is_fault(problem.status()) => {
                ("stale", (stale, "gateway; hit; fwd=stale"))
            }
            (outcome, _, _) => {
                metrics::cached("miss");
                return outcome;
            }
        };
        metrics::cached(counted);
        Ok(self.rule.answer(&answer.0, answer.1, self.request))
    }
}

/// The service failed, rather than refused.
fn is_fault(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502..=504)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verb_is_no_part_of_the_resource() {
        for (path, expected) in [
            ("/v1/products/7", "/v1/products/7"),
            ("/v1/products/7:retire", "/v1/products/7"),
            ("/v1/products:batchGet", "/v1/products"),
            ("/v1/a:b/c", "/v1/a:b/c"),
        ] {
            assert_eq!(resource(path), expected);
        }
    }

    #[test]
    fn tags_are_compared_weakly() {
        let etag = HeaderValue::from_static("W/\"a1\"");
        for (tags, expected) in [
            ("W/\"a1\"", true),
            ("\"a1\"", true),
            ("\"b\", W/\"a1\"", true),
            ("*", true),
            ("\"b\"", false),
            ("", false),
        ] {
            assert_eq!(
                matches(&HeaderValue::from_static(tags), &etag),
                expected,
                "{tags}"
            );
        }
    }
}

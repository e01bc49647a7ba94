//! What no route of the contract takes may still be somebody's: below a prefix, requests go as they are to an old system that
//! speaks plain HTTP (strangler fig).

mod answer;
mod body;
mod headers;
mod path;
mod upgrade;

use std::{sync::Arc, time::Duration};

pub(crate) use answer::answer;
pub(crate) use body::Sent;

use crate::{policy::Rules, upstream::Site};

/// What holds below one prefix.
#[derive(Debug)]
pub(crate) struct Prefix {
    /// `/shop/**`, for metrics and traces.
    pub(crate) label: Box<str>,
    segments: Vec<Box<str>>,
    pub(crate) rules: Rules,
    pub(crate) site: Arc<Site>,
    /// Longest wait for the beginning of an answer, once the request was sent.
    pub(crate) deadline: Duration,
    /// Whether the upstream sees the host that the client asked for, in place of its own.
    pub(crate) keeps_host: bool,
}

impl Prefix {
    /// A prefix in the form that the operator wrote; `None` where it is none.
    pub(crate) fn new(
        path: &str,
        rules: Rules,
        site: Arc<Site>,
        (deadline, keeps_host): (Duration, bool),
    ) -> Option<Self> {
        let path = normal(path)?;
        Some(Self {
            label: format!("{}/**", path.trim_end_matches('/')).into(),
            segments: path::segments(&path)?,
            rules,
            site,
            deadline,
            keeps_host,
        })
    }

    /// Whether it is the one of everything.
    pub(crate) fn is_all(&self) -> bool {
        self.segments.is_empty()
    }
}

/// A prefix as it is compared with others: without a slash at its end. `None` where it is none, or could be written otherwise.
pub(crate) fn normal(path: &str) -> Option<String> {
    let segments = path::segments(path.strip_prefix('/')?)?;
    let normal = format!("/{}", segments.join("/"));
    let written = match path {
        "/" => path,
        path => path.strip_suffix('/').unwrap_or(path),
    };
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"?#%{}\"<>".contains(&byte);
    (normal == written && written.bytes().all(is_plain)).then_some(normal)
}

/// All prefixes.
#[derive(Debug, Default)]
pub(crate) struct Prefixes(Vec<Prefix>);

impl Prefixes {
    pub(crate) fn new(mut all: Vec<Prefix>) -> Self {
        all.sort_by_key(|prefix| std::cmp::Reverse(prefix.segments.len()));
        Self(all)
    }

    /// The longest that a path is below. `None` also where the path could be read in more than one way.
    pub(crate) fn find(&self, path: &str) -> Option<&Prefix> {
        if self.0.is_empty() || !path.starts_with('/') {
            return None;
        }
        let segments = path::segments(path)?;
        let mut all = self.0.iter();
        all.find(|prefix| segments.starts_with(&prefix.segments))
    }
}

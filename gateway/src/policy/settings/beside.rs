//! What stands beside the services of the contract: other versions of them, and old systems.

use std::{collections::BTreeMap, time::Duration};

use contracts::caravan::options::v1::Access;
use http::{HeaderName, HeaderValue};
use serde_saphyr::Spanned;

use super::{
    RouteRate, SettingsError,
    document::{PrefixDocument, ShareDocument, SplitDocument, Text},
    reader::Reader,
    value::{access, bytes, period, route_rate},
};
use crate::plain;

/// Longest wait for an old system's answer where the operator says nothing.
const DEADLINE: Duration = Duration::from_secs(30);

/// Largest weight: more than anybody needs, and sums of them stay small.
const MAX_WEIGHT: u32 = 1_000_000;

/// What several upstreams share.
#[derive(Clone, Debug)]
pub struct SplitSettings {
    /// A package, a service, `package.Service/Method` or `VERB template`.
    pub(in crate::policy) of: String,
    /// `FILE:line:column`
    pub(in crate::policy) place: String,
    pub(in crate::policy) is_sticky: bool,
    pub(in crate::policy) shares: Vec<ShareSettings>,
}

/// One of them.
#[derive(Clone, Debug)]
pub(in crate::policy) struct ShareSettings {
    /// As `--upstream` or `--upstreams` name it.
    pub(in crate::policy) upstream: String,
    /// `FILE:line:column`
    pub(in crate::policy) place: String,
    pub(in crate::policy) weight: u32,
    pub(in crate::policy) when: Vec<(HeaderName, HeaderValue)>,
}

/// What an old system serves.
#[derive(Clone, Debug)]
pub struct PrefixSettings {
    /// `/shop`, without a slash at its end.
    pub(in crate::policy) prefix: String,
    /// As `--upstream` or `--upstreams` name it.
    pub(in crate::policy) upstream: String,
    /// `FILE:line:column` of that.
    pub(in crate::policy) place: String,
    pub(in crate::policy) access: Access,
    /// `FILE:line:column` of that.
    pub(in crate::policy) access_place: String,
    pub(in crate::policy) rate: Option<RouteRate>,
    pub(in crate::policy) max_body_bytes: Option<usize>,
    pub(in crate::policy) deadline: Duration,
    pub(in crate::policy) is_http2: bool,
    pub(in crate::policy) keeps_host: bool,
}

impl Reader<'_> {
    pub(super) fn prefixes(
        &self,
        from: &[PrefixDocument],
    ) -> Result<Vec<PrefixSettings>, SettingsError> {
        let mut prefixes: Vec<PrefixSettings> = Vec::new();
        for from in from {
            let prefix = self.prefix(from)?;
            let mut known = prefixes.iter();
            if known.any(|known| known.prefix == prefix.prefix) {
                let what = format!("the prefix `{}` stands here twice", prefix.prefix);
                return Err(self.fault(&from.prefix.referenced, what));
            }
            prefixes.push(prefix);
        }
        Ok(prefixes)
    }

    fn prefix(&self, from: &PrefixDocument) -> Result<PrefixSettings, SettingsError> {
        let prefix = self.value(&from.prefix, |text| {
            let fault = || {
                format!("`{text}` is no prefix like /shop: plain text, without `.`, `..` and `%`")
            };
            plain::normal(text).ok_or_else(fault)
        })?;
        let words = from.access.value.iter();
        let rate = from.rate.as_ref();
        let body = from.body.as_ref();
        let deadline = from.deadline.as_ref();
        let deadline = deadline.map(|text| self.value(text, period)).transpose()?;
        Ok(PrefixSettings {
            prefix,
            upstream: from.upstream.value.trim().to_owned(),
            place: self.place(Some(&from.upstream.referenced)),
            access: access(words.map(|word| &*word.value)),
            access_place: self.place(Some(&from.access.referenced)),
            rate: rate.map(|text| self.value(text, route_rate)).transpose()?,
            max_body_bytes: body.map(|text| self.value(text, bytes)).transpose()?,
            deadline: deadline.unwrap_or(DEADLINE),
            is_http2: from.http2,
            keeps_host: from.keep_host,
        })
    }

    pub(super) fn splits(
        &self,
        from: &[SplitDocument],
    ) -> Result<Vec<SplitSettings>, SettingsError> {
        let mut splits: Vec<SplitSettings> = Vec::new();
        for from in from {
            let of = from.of.value.trim().trim_start_matches('/').to_owned();
            if let Some(same) = splits.iter().find(|split| split.of == of) {
                let what = format!("`{of}` is split at {} already", same.place);
                return Err(self.fault(&from.of.referenced, what));
            }
            splits.push(self.split(of, from)?);
        }
        Ok(splits)
    }

    fn split(&self, of: String, from: &SplitDocument) -> Result<SplitSettings, SettingsError> {
        let mut shares: Vec<ShareSettings> = Vec::new();
        for from in &from.upstreams.value {
            let share = self.share(from)?;
            if shares.iter().any(|known| known.upstream == share.upstream) {
                let what = format!("`{}` stands here twice", share.upstream);
                return Err(self.fault(&from.upstream.referenced, what));
            }
            shares.push(share);
        }
        if shares.iter().all(|share| share.weight == 0) {
            let what = "the weights add up to 0: most requests would go nowhere";
            return Err(self.fault(&from.upstreams.referenced, what));
        }
        Ok(SplitSettings {
            of,
            place: self.place(Some(&from.of.referenced)),
            is_sticky: from.sticky,
            shares,
        })
    }

    fn share(&self, from: &ShareDocument) -> Result<ShareSettings, SettingsError> {
        let weight = match &from.weight {
            Some(text) => self.value(text, weight)?,
            // Only who asks for it comes there.
            None if from.when.is_some() => 0,
            None => {
                let what = "a `weight`, a `when` or both are needed: else no request comes there";
                return Err(self.fault(&from.upstream.referenced, what));
            }
        };
        let when = from.when.as_ref();
        let when = when.map(|when| self.when(when)).transpose()?;
        Ok(ShareSettings {
            upstream: from.upstream.value.trim().to_owned(),
            place: self.place(Some(&from.upstream.referenced)),
            weight,
            when: when.unwrap_or_default(),
        })
    }

    fn when(
        &self,
        from: &Spanned<BTreeMap<String, Text>>,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, SettingsError> {
        if from.value.is_empty() {
            let what = "`when` names no header";
            return Err(self.fault(&from.referenced, what));
        }
        let pair = |(name, value): (&String, &Text)| {
            self.value(value, |text| {
                let name: HeaderName = name
                    .parse()
                    .map_err(|_| format!("`{name}` is no header's name"))?;
                let value = HeaderValue::from_str(text)
                    .map_err(|_| format!("`{text}` is no header's value"))?;
                Ok((name, value))
            })
        };
        from.value.iter().map(pair).collect()
    }
}

fn weight(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(weight) if weight <= MAX_WEIGHT => Ok(weight),
        _ => Err(format!("`{text}` is no weight from 0 to {MAX_WEIGHT}")),
    }
}

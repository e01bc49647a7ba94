//! The policies file as it is written: keys and text, each with its place.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_saphyr::Spanned;

/// All of it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Document {
    pub(super) disable: Vec<Policy>,
    pub(super) trusted_proxies: Vec<Text>,
    pub(super) cors: Option<Spanned<CorsDocument>>,
    pub(super) rates: RatesDocument,
    pub(super) cache: CacheDocument,
    pub(super) compression: CompressionDocument,
    pub(super) limits: LimitsDocument,
    pub(super) routes: Vec<RouteDocument>,
    pub(super) splits: Vec<SplitDocument>,
    pub(super) prefixes: Vec<PrefixDocument>,
}

/// A value with its place.
pub(super) type Text = Spanned<String>;

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Policy {
    Access,
    Rate,
    Cache,
    Compression,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CorsDocument {
    pub(super) origins: Vec<Text>,
    #[serde(default)]
    pub(super) headers: Vec<Text>,
    #[serde(default)]
    pub(super) expose: Vec<Text>,
    #[serde(default)]
    pub(super) credentials: bool,
    #[serde(default)]
    pub(super) max_age: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RatesDocument {
    pub(super) read: Option<Text>,
    pub(super) write: Option<Text>,
    pub(super) heavy: Option<Text>,
    pub(super) strict: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct CacheDocument {
    pub(super) max_bytes: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct CompressionDocument {
    pub(super) min_bytes: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LimitsDocument {
    pub(super) connections: Option<Text>,
    pub(super) body: Option<Text>,
    pub(super) body_timeout: Option<Text>,
    pub(super) headers: Option<Text>,
    pub(super) header_count: Option<Text>,
    pub(super) header_timeout: Option<Text>,
    pub(super) heartbeat: Option<Text>,
    pub(super) message: Option<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RouteDocument {
    pub(super) route: Text,
    #[serde(default)]
    pub(super) disable: Vec<Policy>,
    pub(super) access: Option<Vec<Text>>,
    pub(super) rate: Option<Text>,
    pub(super) cache: Option<RouteCacheDocument>,
    pub(super) body: Option<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RouteCacheDocument {
    pub(super) ttl: Text,
    #[serde(default)]
    pub(super) stale_if_error: Option<Text>,
    #[serde(default)]
    pub(super) per_caller: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SplitDocument {
    pub(super) of: Text,
    #[serde(default)]
    pub(super) sticky: bool,
    pub(super) upstreams: Spanned<Vec<ShareDocument>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ShareDocument {
    pub(super) upstream: Text,
    pub(super) weight: Option<Text>,
    pub(super) when: Option<Spanned<BTreeMap<String, Text>>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PrefixDocument {
    pub(super) prefix: Text,
    pub(super) upstream: Text,
    pub(super) access: Spanned<Vec<Text>>,
    pub(super) rate: Option<Text>,
    pub(super) body: Option<Text>,
    pub(super) deadline: Option<Text>,
    #[serde(default)]
    pub(super) http2: bool,
    #[serde(default)]
    pub(super) keep_host: bool,
}

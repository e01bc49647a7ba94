//! Key sets of other issuers (RFC 7517), fetched by HTTP within bounds.

use std::time::Duration;

use http::Uri;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use tonic::Status;

use super::keys::Key;

/// Longest wait for a key set.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Largest key set that is read, in bytes.
const MAX_BYTES: usize = 256 * 1024;

/// A key as its issuer publishes it. Of private parts nothing is read.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Jwk {
    pub(super) kty: String,
    pub(super) crv: Option<String>,
    pub(super) kid: Option<String>,
    pub(super) r#use: Option<String>,
    pub(super) alg: Option<String>,
    pub(super) x: Option<String>,
    pub(super) y: Option<String>,
    pub(super) n: Option<String>,
    pub(super) e: Option<String>,
}

impl Jwk {
    /// The key with its id. What kind it is says what it may sign with, never a token; `None` for keys that sign nothing, have
    /// no id, or are of another kind.
    pub(super) fn key(&self) -> Option<(String, Key)> {
        let signs = self.r#use.as_deref().is_none_or(|purpose| purpose == "sig");
        let kid = self.kid.clone().filter(|kid| signs && !kid.is_empty())?;
        let (algorithm, name, public) = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => {
                let public = DecodingKey::from_rsa_components(self.n.as_ref()?, self.e.as_ref()?);
                (Algorithm::RS256, "RS256", public)
            }
            ("EC", Some("P-256")) => {
                let public = DecodingKey::from_ec_components(self.x.as_ref()?, self.y.as_ref()?);
                (Algorithm::ES256, "ES256", public)
            }
            ("OKP", Some("Ed25519")) => {
                let public = DecodingKey::from_ed_components(self.x.as_ref()?);
                (Algorithm::EdDSA, "EdDSA", public)
            }
            _ => return None,
        };
        let is_meant = self.alg.as_deref().is_none_or(|alg| alg == name);
        let public = public.ok().filter(|_| is_meant)?;
        Some((kid, Key { public, algorithm }))
    }
}

/// Reads a key set; a key of it that cannot be read is stepped over.
pub(super) fn parse(text: &[u8]) -> Option<Vec<Jwk>> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<serde_json::Value>,
    }
    let set: Set = serde_json::from_slice(text).ok()?;
    let keys = set.keys.into_iter();
    Some(
        keys.filter_map(|key| serde_json::from_value(key).ok())
            .collect(),
    )
}

/// A client for key sets: it follows no redirect and keeps no connection, which threads of the gateway could not share.
///
/// # Errors
/// The system's certificates cannot be read.
pub(super) fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .timeout(TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(0)
        .build()
}

/// Fetches a key set.
///
/// # Errors
/// No answer in time, one that is too large, or one that is no key set.
pub(super) async fn fetch(client: reqwest::Client, url: Uri) -> Result<Vec<Jwk>, Status> {
    let away = |error: reqwest::Error| {
        tracing::warn!(error = &error as &dyn std::error::Error, "no key set");
        Status::unavailable("an issuer's key set cannot be read")
    };
    let odd = |fault: &str| {
        tracing::warn!(%url, fault, "no key set");
        Status::unavailable("an issuer's key set cannot be used")
    };
    let answer = client.get(url.to_string()).send().await.map_err(away)?;
    if answer.status() != http::StatusCode::OK {
        return Err(odd(&format!("answered {}", answer.status())));
    }
    let mut answer = answer;
    let mut text = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(away)? {
        if text.len() + chunk.len() > MAX_BYTES {
            return Err(odd("is too large"));
        }
        text.extend_from_slice(&chunk);
    }
    parse(&text).ok_or_else(|| odd("is no key set"))
}

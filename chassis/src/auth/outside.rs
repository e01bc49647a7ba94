//! Issuers beside the mesh's own identity service: Keycloak, Auth0 and others of their kind, by configuration.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use anyhow::{Context as _, ensure};
use http::Uri;
use serde::Deserialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    jwks,
    keys::KeyCache,
    revoked::Marks,
    verifier::{Checked, VerifyError},
};
use crate::call::Caller;

/// Largest file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 64 * 1024;
/// Role that everybody has who can buy.
const CUSTOMER: &str = "customer";

/// An issuer whose access tokens count beside the mesh's own, and what they say about people.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutsideIssuer {
    /// The `iss` of its tokens.
    pub issuer: String,
    /// The `aud` that its tokens for this shop have.
    pub audience: String,
    /// Where its public keys are.
    pub jwks_url: String,
    /// Whether `jwks_url` may be `http`: whoever is on the way could then put keys in.
    #[serde(default)]
    pub allow_http: bool,
    /// Where a token names roles: a claim, or a path of claims with dots in between, e.g. `realm_access.roles`.
    #[serde(default)]
    pub roles_claim: String,
    /// What its roles are here. A role that is not named here counts for nothing.
    #[serde(default)]
    pub roles: BTreeMap<String, String>,
}

impl OutsideIssuer {
    /// Reads a file with a JSON list of issuers; none where there is no file. `own` is the mesh's own issuer.
    ///
    /// # Errors
    /// The file cannot be read, or an issuer in it cannot be used.
    pub fn read(file: Option<&Path>, own: &str) -> anyhow::Result<Vec<Self>> {
        let Some(path) = file else {
            return Ok(Vec::new());
        };
        let explain = || format!("OUTSIDE_ISSUERS_FILE: cannot read {}", path.display());
        let size = std::fs::metadata(path).with_context(explain)?.len();
        ensure!(
            size <= MAX_FILE_BYTES,
            "OUTSIDE_ISSUERS_FILE: {} is larger than {MAX_FILE_BYTES} bytes",
            path.display()
        );
        let text = std::fs::read_to_string(path).with_context(explain)?;
        Self::parse(&text, own).context("OUTSIDE_ISSUERS_FILE")
    }

    fn parse(text: &str, own: &str) -> anyhow::Result<Vec<Self>> {
        let issuers: Vec<Self> =
            serde_json::from_str(text).context("is no JSON list of issuers")?;
        let mut seen = BTreeSet::from([own]);
        for issuer in &issuers {
            let name = &issuer.issuer;
            ensure!(
                seen.insert(name),
                "`{name}` is named twice, or is the mesh's own"
            );
            issuer.check().with_context(|| format!("`{name}`"))?;
        }
        Ok(issuers)
    }

    fn check(&self) -> anyhow::Result<()> {
        ensure!(!self.issuer.is_empty(), "`issuer` is empty");
        ensure!(!self.audience.is_empty(), "`audience` is empty");
        let url = self.url()?;
        match url.scheme_str() {
            Some("https") => {}
            Some("http") => ensure!(
                self.allow_http,
                "`jwks_url` is not https: whoever is on the way could put keys in (`allow_http` allows it)"
            ),
            _ => anyhow::bail!("`jwks_url` must be https://..."),
        }
        ensure!(
            self.roles.is_empty() == self.roles_claim.is_empty(),
            "`roles` and `roles_claim` come together"
        );
        let known = known_roles();
        for role in self.roles.values() {
            ensure!(
                known.contains(role.as_str()),
                "`{role}` is no role of the shop"
            );
        }
        Ok(())
    }

    fn url(&self) -> anyhow::Result<Uri> {
        let url: Uri = self.jwks_url.parse().context("`jwks_url` is no URL")?;
        ensure!(url.authority().is_some(), "`jwks_url` names no host");
        Ok(url)
    }

    /// Its keys, fetched when they are first needed and kept fresh.
    ///
    /// # Errors
    /// `jwks_url` is no URL, or no HTTP client can be made.
    pub(super) fn keys(&self) -> anyhow::Result<KeyCache> {
        let (url, client) = (self.url()?, jwks::client()?);
        Ok(KeyCache::of_others(move || {
            jwks::fetch(client.clone(), url.clone())
        }))
    }

    /// Whom the claims of a token name that was checked.
    pub(super) fn caller(&self, claims: &Map<String, Value>) -> Result<Checked, VerifyError> {
        // Keycloak's other tokens are signed with the same keys.
        let kind = claims.get("typ").and_then(Value::as_str);
        if kind.is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
            return Err(VerifyError::Invalid("type"));
        }
        let subject = claims.get("sub").and_then(Value::as_str);
        let subject = subject.filter(|subject| !subject.is_empty());
        let subject = subject.ok_or(VerifyError::Invalid("subject"))?;
        let time = |name: &str| claims.get(name).and_then(Value::as_f64);
        Ok(Checked {
            // Whole seconds; a fraction never makes a token last longer.
            exp: time("exp").ok_or(VerifyError::Invalid("claims"))? as u64,
            marks: Marks::default(),
            nbf: time("nbf").unwrap_or_default().ceil() as u64,
            caller: Caller::User {
                id: self.account(subject),
                roles: self.roles_of(claims),
            },
        })
    }

    /// The id of a person here: the same for the same person, and never that of an account that somebody else has.
    fn account(&self, subject: &str) -> Uuid {
        let issuer = Uuid::new_v5(&Uuid::NAMESPACE_URL, self.issuer.as_bytes());
        Uuid::new_v5(&issuer, subject.as_bytes())
    }

    fn roles_of(&self, claims: &Map<String, Value>) -> Vec<String> {
        let named: Vec<&str> = match find(claims, &self.roles_claim) {
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(names)) => names.split_whitespace().collect(),
            _ => Vec::new(),
        };
        let ours = named.into_iter().filter_map(|name| self.roles.get(name));
        let ours: BTreeSet<_> = ours.cloned().collect();
        ours.into_iter().collect()
    }
}

/// The claim with this name, dots and all, or else what a path of names leads to.
fn find<'c>(claims: &'c Map<String, Value>, path: &str) -> Option<&'c Value> {
    if let Some(claim) = claims.get(path) {
        return Some(claim);
    }
    let (first, rest) = path.split_once('.')?;
    find(claims.get(first)?.as_object()?, rest)
}

/// Every role that the contract lets do something, and that of customers.
fn known_roles() -> BTreeSet<&'static str> {
    let rules = contracts::policy::methods().filter_map(|(_, policy)| policy.access.as_ref());
    let roles = rules.flat_map(|access| access.roles.iter().map(String::as_str));
    roles.chain([CUSTOMER]).collect()
}

#[cfg(test)]
#[path = "outside_tests.rs"]
mod tests;

//! Secrets that are planted, and every form in which they may come up again.

use std::collections::{BTreeSet, HashMap};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use serde_json::json;

use crate::contract::escape;

/// Shortest piece of a secret that is looked for.
const MIN_BYTES: usize = 8;

/// Something that nobody else may read.
#[derive(Clone, Debug)]
struct Secret {
    name: &'static str,
    /// How the names of places begin that work with it, and have it.
    kept_by: &'static [&'static str],
}

/// A secret by its place among all, how it is written, and what that looks like.
type Form = (usize, &'static str, Vec<u8>);

/// What is looked for, by the first bytes of each of its forms.
#[derive(Default)]
pub(crate) struct Secrets {
    all: Vec<Secret>,
    forms: HashMap<[u8; MIN_BYTES], Vec<Form>>,
}

impl Secrets {
    pub(crate) fn plant(&mut self, name: &'static str, text: impl AsRef<[u8]>) {
        self.plant_for(name, text, &[]);
    }

    pub(crate) fn plant_for(
        &mut self,
        name: &'static str,
        text: impl AsRef<[u8]>,
        kept_by: &'static [&'static str],
    ) {
        for (form, bytes) in forms(text.as_ref()) {
            let start = bytes.first_chunk().expect("long enough");
            let entry = self.forms.entry(*start).or_default();
            entry.push((self.all.len(), form, bytes));
        }
        self.all.push(Secret { name, kept_by });
    }

    /// What of them stands in these bytes, in words.
    pub(crate) fn found(&self, place: &str, bytes: &[u8], found: &mut BTreeSet<String>) {
        for (at, window) in bytes.windows(MIN_BYTES).enumerate() {
            let Some(candidates) = self.forms.get(window) else {
                continue;
            };
            for (secret, form, bytes_of_form) in candidates {
                let secret = &self.all[*secret];
                let is_kept = secret
                    .kept_by
                    .iter()
                    .any(|keeper| place.starts_with(keeper));
                if !is_kept && bytes[at..].starts_with(bytes_of_form) {
                    let near = &bytes[at.saturating_sub(80)..(at + 20).min(bytes.len())];
                    let near = String::from_utf8_lossy(near).into_owned();
                    found.insert(format!("{place}: {} as {form}: ...{near:?}", secret.name));
                }
            }
        }
    }
}

/// The forms in which a secret may be written.
fn forms(secret: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let text = String::from_utf8_lossy(secret);
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut forms = vec![
        ("it is", secret.to_vec()),
        ("JSON", json!(text).to_string().trim_matches('"').into()),
        ("URL", escape(&text).into_bytes()),
        ("form", escape(&text).replace("%20", "+").into_bytes()),
        ("hexadecimal", hex.to_uppercase().into_bytes()),
        ("hexadecimal", hex.into_bytes()),
    ];
    // Within something longer a base64 text begins at one of three places of a group.
    for (before, skipped) in [(0, 0), (1, 2), (2, 3)] {
        let whole = (before + secret.len()) / 3 * 3 - before;
        let padded = [&vec![0; before], &secret[..whole]].concat();
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            forms.push(("base64", engine.encode(&padded)[skipped..].into()));
        }
    }
    forms.retain(|(_, bytes)| bytes.len() >= MIN_BYTES);
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_secret_is_found() {
        let mut secrets = Secrets::default();
        let secret = "planted Pass/word+é 0123";
        secrets.plant("it", secret);
        let hex: String = secret.bytes().map(|byte| format!("{byte:02X}")).collect();
        for text in [
            format!("before {secret} after"),
            json!({ "password": secret }).to_string(),
            format!("?password={}", escape(secret)),
            STANDARD_NO_PAD.encode(format!("a{secret}z")),
            URL_SAFE_NO_PAD.encode(format!("ab{secret}z")),
            hex,
        ] {
            let mut found = BTreeSet::new();
            secrets.found("here", text.as_bytes(), &mut found);
            assert!(!found.is_empty(), "{text}");
        }
    }
}

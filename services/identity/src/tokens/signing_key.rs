//! One key: private to sign, public to publish.

use aws_lc_rs::{
    error::{KeyRejected, Unspecified},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use contracts::caravan::identity::v1::JsonWebKey;
use jsonwebtoken::{DecodingKey, EncodingKey};
use sha2::{Digest as _, Sha256};

/// Bytes of one coordinate of a P-256 point.
const COORDINATE_BYTES: usize = 32;

/// A key of ES256.
pub(super) struct SigningKey {
    private: EncodingKey,
    verifying: DecodingKey,
    public: JsonWebKey,
}

/// A new private key as PKCS#8.
pub(super) fn generate() -> Result<Vec<u8>, Unspecified> {
    let document =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())?;
    Ok(document.as_ref().to_vec())
}

impl SigningKey {
    /// The key of a PKCS#8 text.
    pub(super) fn read(pkcs8: &[u8]) -> Result<Self, KeyRejected> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8)?;
        // An uncompressed point: 4, x, y.
        let (x, y) = pair.public_key().as_ref()[1..].split_at(COORDINATE_BYTES);
        Ok(Self {
            private: EncodingKey::from_ec_der(pkcs8),
            // As the backend takes it: the uncompressed point.
            verifying: DecodingKey::from_ec_der(pair.public_key().as_ref()),
            public: json_web_key(x, y),
        })
    }

    pub(super) fn private(&self) -> &EncodingKey {
        &self.private
    }

    pub(super) fn verifying(&self) -> &DecodingKey {
        &self.verifying
    }

    pub(super) fn public(&self) -> &JsonWebKey {
        &self.public
    }
}

/// The public key; its id is its own thumbprint (RFC 7638), so that replicas agree without a list.
fn json_web_key(x: &[u8], y: &[u8]) -> JsonWebKey {
    let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
    let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
    JsonWebKey {
        kty: "EC".to_owned(),
        crv: "P-256".to_owned(),
        kid: URL_SAFE_NO_PAD.encode(Sha256::digest(canonical)),
        r#use: "sig".to_owned(),
        alg: "ES256".to_owned(),
        x,
        y,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_same_whenever_it_is_read() {
        let pkcs8 = generate().expect("randomness");
        let read = |pkcs8: &[u8]| SigningKey::read(pkcs8).expect("good").public().clone();
        assert_eq!(read(&pkcs8), read(&pkcs8));
        assert_ne!(read(&pkcs8).kid, read(&generate().expect("randomness")).kid);
        assert_eq!(
            URL_SAFE_NO_PAD
                .decode(read(&pkcs8).x)
                .expect("base64")
                .len(),
            COORDINATE_BYTES
        );
    }

    #[test]
    fn what_is_no_key_is_refused() {
        assert!(SigningKey::read(b"no key").is_err());
    }
}

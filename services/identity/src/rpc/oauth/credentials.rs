//! A client's id and secret, by the header or by the form (RFC 6749, section 2.3.1).

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chassis::clock;
use secrecy::{ExposeSecret as _, SecretString};
use tonic::metadata::MetadataMap;

use super::{OAuth, OAuthError};
use crate::{domain::client::Client, error::Error, rpc::clients::hash, store};

/// What the `authorization` of a call says.
pub(super) enum Authorization {
    /// There is none, or a token, which others have looked at.
    None,
    /// Id and secret.
    Basic(String, SecretString),
    /// Something that nobody can read.
    Odd,
}

impl Authorization {
    pub(super) fn of(metadata: &MetadataMap) -> Self {
        let mut values = metadata.get_all("authorization").iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return match metadata.contains_key("authorization") {
                true => Self::Odd,
                false => Self::None,
            };
        };
        let scheme = value.to_str().ok().and_then(|text| text.split_once(' '));
        match scheme {
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("bearer") => Self::None,
            Some((scheme, text)) if scheme.eq_ignore_ascii_case("basic") => {
                basic(text.trim()).unwrap_or(Self::Odd)
            }
            _ => Self::Odd,
        }
    }
}

/// Both are form-encoded before they become base64.
fn basic(text: &str) -> Option<Authorization> {
    let pair = String::from_utf8(STANDARD.decode(text).ok()?).ok()?;
    let (id, secret) = pair.split_once(':')?;
    let decode = |text: &str| {
        let escaped = text.replace('&', "%26").replace('=', "%3D");
        let mut pairs = form_urlencoded::parse(escaped.as_bytes());
        pairs.next().map(|(text, _)| text.into_owned())
    };
    Some(Authorization::Basic(
        decode(id)?,
        decode(secret).unwrap_or_default().into(),
    ))
}

/// Who showed its secret.
#[derive(Debug)]
pub(super) enum Known {
    /// A service of the mesh that the configuration names.
    Service(String),
    /// A client of the database.
    Client(Client),
}

impl Known {
    pub(super) fn id(&self) -> &str {
        match self {
            Self::Service(name) => name,
            Self::Client(client) => &client.client_id,
        }
    }

    /// Whether its tokens are those of a service of the mesh.
    pub(super) fn is_of_mesh(&self) -> bool {
        match self {
            Self::Service(_) => true,
            Self::Client(client) => client.is_of_mesh(),
        }
    }
}

/// The client that a call shows id and secret of; `None` where it shows nothing.
///
/// # Errors
/// Two ways at once, an unknown client, a wrong secret, a disabled client.
pub(super) async fn client(
    rpc: &OAuth,
    shown: Authorization,
    (form_id, form_secret): (String, String),
) -> Result<Option<Known>, Error> {
    let (id, secret) = match shown {
        Authorization::Odd => return Err(OAuthError::InvalidClient.into()),
        Authorization::None if form_id.is_empty() && form_secret.is_empty() => return Ok(None),
        Authorization::None => (form_id, form_secret.into()),
        Authorization::Basic(id, secret) => {
            if !form_secret.is_empty() {
                let twice = "the client shows its secret twice";
                return Err(OAuthError::InvalidRequest(twice).into());
            }
            if !form_id.is_empty() && form_id != id {
                let two = "the header and the form name two clients";
                return Err(OAuthError::InvalidRequest(two).into());
            }
            (id, secret)
        }
    };
    if rpc.services.admits(&id, &secret) {
        return Ok(Some(Known::Service(id)));
    }
    let stored = store::clients::find(rpc.db.read(), &id).await?;
    let shown = hash(secret.expose_secret());
    let (is, now) = (verify_slices_are_equal, clock::now());
    let known = stored.filter(|client| {
        let mut good = client.good_secrets(now);
        good.any(|good| is(&shown, good).is_ok())
    });
    match known {
        Some(client) => Ok(Some(Known::Client(client))),
        None => Err(OAuthError::InvalidClient.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(header: &str) -> Authorization {
        let mut metadata = MetadataMap::new();
        metadata.insert("authorization", header.parse().expect("ASCII"));
        Authorization::of(&metadata)
    }

    #[test]
    fn a_header_holds_id_and_secret_in_form_encoding() {
        let text = STANDARD.encode("erp%2D1:a%3Ab+c=&%25");
        for scheme in ["Basic", "basic"] {
            let Authorization::Basic(id, secret) = read(&format!("{scheme} {text}")) else {
                panic!("{scheme}");
            };
            assert_eq!((id.as_str(), secret.expose_secret()), ("erp-1", "a:b c=&%"));
        }
    }

    #[test]
    fn what_is_no_client_is_odd_and_a_token_is_somebody_elses_business() {
        for header in ["Basic", "Basic %", "Basic YQ==", "Digest a=b", "x"] {
            assert!(matches!(read(header), Authorization::Odd), "{header}");
        }
        assert!(matches!(read("Bearer a.b.c"), Authorization::None));
        assert!(matches!(
            Authorization::of(&MetadataMap::new()),
            Authorization::None
        ));
    }
}

//! Form-encoded parameters as Stripe reads them: `a=1&metadata[order_id]=2`. What nobody asked for is refused.

use std::collections::BTreeMap;

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    http::{Method, header::CONTENT_TYPE},
};
use serde_json::{Map, Value};

use crate::error::ApiError;

/// Stripe's limits for metadata.
const MAX_METADATA_KEYS: usize = 50;
const MAX_METADATA_VALUE_CHARS: usize = 500;

/// The parameters of one request. Readers take what they know; [`Params::finish`] refuses the rest.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params(BTreeMap<String, String>);

impl Params {
    pub(crate) fn parse(encoded: &[u8]) -> Self {
        Self(form_urlencoded::parse(encoded).into_owned().collect())
    }

    /// The same parameters in one spelling, to compare requests.
    pub(crate) fn canonical(&self) -> String {
        form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&self.0)
            .finish()
    }

    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        // An empty value unsets, as with Stripe.
        self.0.remove(name).filter(|value| !value.is_empty())
    }

    pub(crate) fn required(&mut self, name: &str) -> Result<String, ApiError> {
        self.text(name).ok_or_else(|| ApiError::missing(name))
    }

    pub(crate) fn integer(&mut self, name: &str) -> Result<Option<i64>, ApiError> {
        let parse = |value: String| {
            value.parse().map_err(|_| {
                ApiError::invalid(format!("Invalid integer: {value}"))
                    .code("parameter_invalid_integer")
                    .param(name)
            })
        };
        self.text(name).map(parse).transpose()
    }

    /// Minor units of a currency, at least 1.
    pub(crate) fn amount(&mut self, name: &str) -> Result<Option<i64>, ApiError> {
        let amount = self.integer(name)?;
        if amount.is_some_and(|amount| amount < 1) {
            return Err(
                ApiError::invalid("This value must be greater than or equal to 1.")
                    .code("parameter_invalid_integer")
                    .param(name),
            );
        }
        Ok(amount)
    }

    pub(crate) fn flag(&mut self, name: &str) -> Result<bool, ApiError> {
        match self.text(name).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(ApiError::invalid(format!("Invalid boolean: {other}")).param(name)),
        }
    }

    /// Everything of the form `name[key]`.
    pub(crate) fn map(&mut self, name: &str) -> Result<Map<String, Value>, ApiError> {
        let prefix = format!("{name}[");
        let mut map = Map::new();
        for (key, value) in self.take_where(|key| key.starts_with(&prefix)) {
            let inner = key[prefix.len()..].trim_end_matches(']').to_owned();
            if value.chars().count() > MAX_METADATA_VALUE_CHARS {
                let message = format!(
                    "Metadata values can have up to {MAX_METADATA_VALUE_CHARS} characters."
                );
                return Err(ApiError::invalid(message).param(key));
            }
            map.insert(inner, value.into());
        }
        if map.len() > MAX_METADATA_KEYS {
            let message = format!("Metadata can have up to {MAX_METADATA_KEYS} keys.");
            return Err(ApiError::invalid(message).param(name));
        }
        Ok(map)
    }

    /// Accepts parameters that change nothing here, with all that is nested in them.
    pub(crate) fn ignore(&mut self, names: &[&str]) {
        let named = |key: &str| names.contains(&key.split('[').next().unwrap_or(key));
        self.take_where(named);
    }

    /// Refuses what is left.
    pub(crate) fn finish(self) -> Result<(), ApiError> {
        match self.0.into_keys().next() {
            Some(key) => Err(
                ApiError::invalid(format!("Received unknown parameter: {key}"))
                    .code("parameter_unknown")
                    .param(key),
            ),
            None => Ok(()),
        }
    }

    fn take_where(&mut self, wanted: impl Fn(&str) -> bool) -> BTreeMap<String, String> {
        let (taken, rest) = std::mem::take(&mut self.0)
            .into_iter()
            .partition(|(key, _)| wanted(key));
        self.0 = rest;
        taken
    }
}

impl<S: Send + Sync> FromRequest<S> for Params {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        if request.method() == Method::GET {
            return Ok(Self::parse(
                request.uri().query().unwrap_or_default().as_bytes(),
            ));
        }
        let form = request.headers().get(CONTENT_TYPE).is_none_or(|kind| {
            kind.as_bytes()
                .starts_with(b"application/x-www-form-urlencoded")
        });
        let body = Bytes::from_request(request, state)
            .await
            .map_err(|_| ApiError::invalid("The request body cannot be read or is too large."))?;
        if !form && !body.is_empty() {
            return Err(ApiError::invalid(
                "Request bodies must be form-encoded (application/x-www-form-urlencoded).",
            ));
        }
        Ok(Self::parse(&body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_asked_for_is_refused() {
        let mut params = Params::parse(
            b"amount=5&metadata%5Border_id%5D=o1&payment_method_types[]=card&colour=red",
        );
        assert_eq!(params.amount("amount"), Ok(Some(5)));
        assert_eq!(params.map("metadata").expect("fits")["order_id"], "o1");
        params.ignore(&["payment_method_types"]);
        let refusal = params.finish().expect_err("colour is unknown").body();
        assert_eq!(refusal["error"]["code"], "parameter_unknown");
        assert_eq!(refusal["error"]["param"], "colour");
    }

    #[test]
    fn amounts_are_positive_integers() {
        for wrong in ["0", "-1", "1.5", "1e3", "99999999999999999999", "x"] {
            let mut params = Params::parse(format!("amount={wrong}").as_bytes());
            assert!(params.amount("amount").is_err(), "{wrong}");
        }
    }

    #[test]
    fn order_of_parameters_makes_no_other_request() {
        assert_eq!(
            Params::parse(b"a=1&b=2").canonical(),
            Params::parse(b"b=2&a=1").canonical()
        );
        assert_ne!(
            Params::parse(b"a=1").canonical(),
            Params::parse(b"a=2").canonical()
        );
    }
}

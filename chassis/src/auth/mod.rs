//! Who calls, and whether they may: tokens of users and services, checked in every service itself.

pub(crate) mod access;
mod claims;
mod forwarded;
mod jwks;
mod keys;
mod outside;
mod revoked;
mod seen;
pub(crate) mod service_token;
#[cfg(test)]
pub(crate) mod testing;
mod verifier;

pub use access::{admitted, bearer};
pub use claims::{AUDIENCE, Claims, TOKEN_TYPE, TokenKind};
pub use keys::{KeySource, RemoteKeys};
pub use outside::OutsideIssuer;
pub use revoked::{client_uuid, mark};
pub use verifier::{Verifier, VerifyError};

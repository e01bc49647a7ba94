//! Who calls, and whether they may: tokens of users and services, checked in every service itself.

pub(crate) mod access;
mod forwarded;
mod keys;
mod seen;
pub(crate) mod service_token;
#[cfg(test)]
pub(crate) mod testing;
mod verifier;

pub use access::{bearer, is_admitted};
pub use keys::{KeySource, RemoteKeys};
pub use verifier::{AUDIENCE, Claims, TOKEN_TYPE, TokenKind, Verifier, VerifyError};

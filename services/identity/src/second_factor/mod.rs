//! Codes beside the password: of authenticator apps, for recovery, and how the apps' secrets are kept.

pub mod recovery;
pub mod seal;
pub mod totp;

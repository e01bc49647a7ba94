//! One file a table.

pub mod account;
pub mod audit_entry;
pub mod client;
pub mod credential;
pub mod failure;
pub mod login_challenge;
pub mod mail;
pub mod recovery_code;
pub mod revoked_token;
pub mod second_factor;
pub mod session;
pub mod signing_key;

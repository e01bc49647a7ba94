//! One file a table.

pub mod account;
pub mod audit_entry;
pub mod credential;
pub mod mail;
pub mod session;
pub mod signing_key;

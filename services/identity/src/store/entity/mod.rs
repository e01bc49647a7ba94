//! One file a table.

pub mod account;
pub mod credential;
pub mod signing_key;

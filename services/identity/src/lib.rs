//! Who may use the shop: accounts, logins, the access tokens of people and services, and the keys that these are checked with.
//!
//! Publishes `identity.account.registered`, `.updated`, `.closed` and `.mail_requested`; consumes nothing and calls no other service.

pub mod bootstrap;
pub mod config;
pub mod domain;
pub mod error;
pub mod events;
pub mod housekeeping;
pub mod passwords;
pub mod rpc;
pub mod service_clients;
pub mod store;
pub mod tokens;

//! Who may use the shop: accounts, logins, the access tokens of people and services, and the keys that these are checked with.
//!
//! Publishes `identity.account.registered`, `.updated`, `.closed` and `.mail_requested`; consumes what every service
//! records of who did what to whom, and calls no other service but for that history.

pub mod bootstrap;
pub mod config;
pub mod domain;
pub mod error;
pub mod events;
pub mod housekeeping;
pub mod passwords;
pub mod rpc;
pub mod second_factor;
pub mod service_clients;
pub mod store;
pub mod tokens;

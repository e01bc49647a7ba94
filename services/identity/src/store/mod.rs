//! Aggregates to rows and back.

pub mod accounts;
pub mod audit;
pub mod challenges;
pub mod clients;
pub mod entity;
pub mod failures;
pub mod mails;
pub mod migrations;
pub mod purge;
pub mod revoked_tokens;
pub mod second_factors;
pub mod sessions;
pub mod signing_keys;

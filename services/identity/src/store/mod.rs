//! Aggregates to rows and back.

pub mod accounts;
pub mod entity;
pub mod migrations;
pub mod signing_keys;

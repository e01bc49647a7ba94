//! Aggregates to rows and back. Every update checks the version.

pub mod entity;
pub mod migrations;
pub mod payments;

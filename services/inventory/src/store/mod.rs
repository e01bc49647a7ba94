//! Aggregates to rows and back.

pub mod entity;
pub mod migrations;
pub mod reservations;
pub mod stock;

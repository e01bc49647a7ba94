//! What is in the house, and what of it is held for orders.
//!
//! A hold takes all lines of an order or none, and ends by itself after its time to live. Publishes
//! `inventory.stock.adjusted`, `.reserved`, `.released`, `.committed` and `.depleted`; consumes nothing
//! and calls no other service.

mod change;
pub mod config;
pub mod domain;
pub mod error;
pub mod events;
pub mod expiry;
pub mod rpc;
pub mod store;

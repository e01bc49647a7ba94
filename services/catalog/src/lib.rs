//! What the shop sells: products with their skus and prices.
//!
//! Publishes `catalog.product.created`, `.updated` and `.retired`; consumes nothing and calls no other service.

pub mod config;
pub mod domain;
pub mod error;
pub mod events;
pub mod rpc;
pub mod store;

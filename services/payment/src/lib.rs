//! Money for orders: held, taken, given back, sent back, through a payment provider.
//!
//! Publishes `payment.payment.authorized`, `.captured`, `.voided`, `.declined` and `payment.refund.issued`;
//! consumes nothing. The provider is called over HTTP, never inside a unit of work.

pub mod config;
pub mod domain;
pub mod error;
pub mod events;
pub mod provider;
pub mod rpc;
pub mod store;

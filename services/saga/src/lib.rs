//! The orchestrator: runs what definitions say, step by step, so that it ends whole or undone whatever fails.
//!
//! [`check`] compiles definitions, [`domain`] decides, [`engine`] carries out, [`store`] keeps; [`expression`] reads and makes messages, and
//! [`participants`] calls. It knows no business: definitions are data, checked against descriptors.

pub mod check;
pub mod config;
pub mod domain;
pub mod engine;
pub mod error;
pub mod events;
pub mod expression;
pub mod participants;
pub mod registry;
pub mod rpc;
mod service;
pub mod store;

pub use service::service;

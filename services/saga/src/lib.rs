//! The orchestrator: runs what definitions say, step by step, so that it ends whole or undone whatever fails.
//!
//! `saga-definition` compiles definitions, [`domain`] decides, [`engine`] carries out, [`store`] keeps, and [`participants`] calls. It knows no business: definitions are data, checked against descriptors.

pub mod config;
pub mod domain;
pub mod engine;
pub mod error;
pub mod events;
pub mod participants;
pub mod reflection;
pub mod registry;
pub mod rpc;
mod service;
pub mod store;

pub use saga_definition::{check, expression};
pub use service::service;

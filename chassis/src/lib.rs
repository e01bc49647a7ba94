//! What every service of the mesh stands on. It knows no business.

pub mod admin;
pub mod audit;
pub mod auth;
pub mod backoff;
mod body;
pub mod call;
pub mod client;
pub mod clock;
pub mod config;
pub mod context;
pub mod db;
pub mod error;
pub mod events;
pub mod kit;
mod methods;
pub mod network;
mod ops;
pub mod outbox;
pub mod page;
pub mod projection;
pub mod readiness;
pub mod rpc;
mod run;
pub mod saga_definitions;
mod server;
pub mod service;
pub mod status;
pub mod telemetry;
#[cfg(test)]
mod testing;
pub mod tls;
mod validate;

pub use call::{Call, Caller, SagaOperation, SagaStep};
pub use error::{Classify, Code, Violation};
pub use kit::Kit;
pub use run::{drain_on_signal, raise_open_files, run};
pub use service::Service;

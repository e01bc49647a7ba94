//! What every service of the mesh stands on. It knows no business.

pub mod call;
pub mod clock;
pub mod config;
pub mod context;
pub mod db;
pub mod error;
pub mod events;
pub mod outbox;
pub mod rpc;
pub mod status;
pub mod telemetry;
mod validate;

pub use call::{Call, Caller, SagaOperation, SagaStep};
pub use error::{Classify, Code, Violation};

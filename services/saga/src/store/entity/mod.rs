//! One file a table.

pub mod definition;
pub mod orchestrator;
pub mod record;
pub mod saga;

//! What payment publishes.

pub mod publish;

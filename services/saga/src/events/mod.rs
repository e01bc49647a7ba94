//! What is published about sagas, and which events start them.

pub mod interventions;
pub mod publish;
pub mod triggers;

//! What a saga definition is: [`source`] reads it from YAML or JSON, [`check`] finds its faults and compiles it,
//! [`definition`] is what comes out, and [`expression`] the language of its requests and conditions.
//!
//! No I/O and no business: the orchestrator runs what this crate compiled, and `caravan saga lint` checks files by the
//! same code without a server.

pub mod check;
pub mod definition;
pub mod descriptors;
pub mod expression;
pub mod places;
pub mod source;

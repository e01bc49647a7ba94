//! What a saga is and what it does next. Nothing here does input or output: time and chance are arguments.

pub mod outcome;
pub mod saga;
pub mod transition;

pub use saga_definition::definition;

/// Microseconds since the Unix epoch.
pub type Micros = i64;

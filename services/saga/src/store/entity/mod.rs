//! One file a table.

pub mod definition;
pub mod record;
pub mod saga;

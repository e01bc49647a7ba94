//! One file a table.

pub mod reservation;
pub mod stock;

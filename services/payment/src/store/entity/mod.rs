//! One file a table.

pub mod payment;

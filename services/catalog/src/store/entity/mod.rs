//! One file a table.

pub mod product;

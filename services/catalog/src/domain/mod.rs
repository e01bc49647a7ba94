//! The rules of the catalog: pure, without I/O.

pub mod money;
pub mod product;

//! One file a table.

pub mod customer;
pub mod order;
pub mod order_line;

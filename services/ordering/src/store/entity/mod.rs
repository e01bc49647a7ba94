//! One file a table.

pub mod customer;
pub mod order;
pub mod order_customer;
pub mod order_line;
pub mod order_snapshot;

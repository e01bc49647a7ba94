//! What an order is and what may become of it. Pure: no transport, no database.

pub mod customer;
pub mod draft;
pub mod event;
pub mod money;
pub mod order;

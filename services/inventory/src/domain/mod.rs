//! The rules of stock and holds: pure, without I/O.

pub mod event;
pub mod lines;
pub mod reservation;
pub mod shelf;
pub mod stock;

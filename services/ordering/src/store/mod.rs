//! Orders in the database: their events, and the read model that is made of them in the same unit of work.

pub mod customers;
pub mod entity;
pub mod history;
pub mod migrations;
pub mod orders;
#[cfg(test)]
mod plans;
pub mod rebuild;
mod record;
pub mod snapshots;
#[cfg(test)]
mod tests;
mod upcast;

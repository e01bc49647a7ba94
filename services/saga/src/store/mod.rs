//! Definitions, sagas and their logs to rows and back. Every write of a saga names its epoch.

mod chunks;
pub mod definitions;
pub mod due;
pub mod entity;
pub mod list;
pub mod log;
pub mod migrations;
pub mod orchestrators;
pub mod records;
pub mod retention;
pub mod sagas;

//! What tests start the world with: brokers, databases, whole meshes, and REST clients to use them.
//!
//! A test of one service takes [`Nats`] and [`database_url`]; a story across services takes a [`World`].
//! Everything starts on free ports, waits for conditions with deadlines, and ends with its value.

mod database;
pub mod ledger;
pub mod mesh;
mod nats;
mod ports;
pub mod rest;
mod setup;
pub mod shop;
mod story;
pub mod wait;
mod world;

pub use database::{DatabaseUrl, Engine, POSTGRES_VARIABLE, database_url, wal_syncs};
pub use nats::Nats;
pub use setup::Setup;
pub use story::tell;
pub use world::World;

//! A local mesh: which processes, where they live, how they are started, kept alive and stopped.

pub mod backoff;
pub mod binaries;
pub mod environment;
pub mod home;
pub mod leftovers;
pub mod nats;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod readiness;
pub mod roster;
pub mod secrets;
pub mod state;
pub mod supervisor;
pub mod topology;

//! The rules of accounts and logins: pure, without I/O.

pub mod account;
pub mod audit;
pub mod client;
pub mod email;
pub mod mail;
pub mod revocation;
pub mod second_factor;
pub mod session;
pub mod throttle;

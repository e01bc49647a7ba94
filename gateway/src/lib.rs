//! REST/JSON and server-sent events in front, gRPC behind; all of it read from descriptors.
//!
//! A request goes through [`server`] (connections and their limits), [`handle`] (route, message, call, answer),
//! [`upstream`] (gRPC over pooled HTTP/2 connections) and, where the rpc streams, [`stream`]. Whatever goes wrong
//! becomes a [`problem::Problem`]. [`api::Api`] holds what the contract says, compiled once.

pub mod api;
mod body;
pub mod config;
mod exchange;
pub mod handle;
mod headers;
mod metrics;
pub mod openapi;
pub mod problem;
pub mod run;
mod scratch;
pub mod server;
mod status;
pub mod stream;
mod unary;
pub mod upstream;

pub use body::MAX_BODY_BYTES;

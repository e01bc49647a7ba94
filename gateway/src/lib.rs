//! REST/JSON and server-sent events in front, gRPC behind; all of it read from descriptors.
//!
//! A request goes through [`server`] (connections and their limits) and `pipeline`, which names every step in its order:
//! `router` (what the request is for), [`policy`] (whether it may be answered, and from where), `rest` (message, call,
//! answer), [`upstream`] (gRPC over pooled HTTP/2 connections) and, where the rpc streams, [`stream`]. Whatever goes
//! wrong becomes a [`problem::Problem`]. [`api::Api`] holds what the contract says, compiled once and swapped whole.

pub mod answer;
pub mod api;
mod body;
pub mod config;
mod exchange;
pub mod gateway;
mod gathered;
mod headers;
mod metrics;
mod oauth;
mod page;
mod passthrough;
mod pipeline;
mod plain;
pub mod policy;
pub mod problem;
mod rest;
mod router;
pub mod run;
mod scratch;
pub mod server;
#[doc(hidden)]
pub mod skin;
mod socket;
pub mod source;
mod status;
pub mod stream;
pub mod tls;
mod trace;
mod upload;
pub mod upstream;
mod worker;

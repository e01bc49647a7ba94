//! What customers buy: orders from placing to their end.
//!
//! Publishes `ordering.order.placed`, `.confirmed`, `.rejected` and `.cancelled`. Keeps copies of accounts by
//! identity's events, prices lines by a call to catalog, and owns the sagas `checkout`, `cancellation` and `return`.

pub mod config;
pub mod domain;
pub mod error;
pub mod events;
mod message;
pub mod rpc;
pub mod store;
pub mod upstream;
pub mod watch;

/// The sagas that this service owns, as it registers them.
pub const SAGAS: [(&str, &str); 3] = [
    ("checkout", include_str!("../sagas/checkout.yaml")),
    ("cancellation", include_str!("../sagas/cancellation.yaml")),
    ("return", include_str!("../sagas/return.yaml")),
];

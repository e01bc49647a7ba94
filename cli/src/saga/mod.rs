//! Sagas as an operator sees them: [`client`] asks the orchestrator through the gateway, [`view`] reads its answers,
//! [`timeline`] draws one saga.

pub mod client;
pub mod timeline;
pub mod view;

//! What others hear of stock and holds.

pub mod publish;

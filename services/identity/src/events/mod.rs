//! What others hear of accounts.

pub mod publish;

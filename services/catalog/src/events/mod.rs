//! What others hear of the catalog.

pub mod publish;

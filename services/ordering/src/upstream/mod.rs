//! What ordering asks of others before a unit of work.

mod catalog;
mod identity;

pub use catalog::Catalog;
pub use identity::Identity;

//! What ordering publishes and what it listens to.

pub mod on_account_closed;
pub mod on_account_registered;
pub mod on_account_updated;
pub mod publish;

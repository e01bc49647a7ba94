//! What others hear of accounts, and what identity hears of others.

pub mod on_action_recorded;
pub mod publish;

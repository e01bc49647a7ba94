//! What a payment is and what may become of it. Pure: no transport, no database, no provider.

pub mod money;
pub mod payment;

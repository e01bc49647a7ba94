//! What ordering knows of a customer.

use uuid::Uuid;

/// Ordering's own copy of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Customer {
    /// The account.
    pub id: Uuid,
    /// The name that orders show.
    pub display_name: String,
    /// Whether the account may buy.
    pub active: bool,
}

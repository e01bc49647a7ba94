//! What happened, as others hear of it.

use uuid::Uuid;

use super::lines::Lines;

/// Something that happened to stock or to a hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The units on hand were counted anew or returned.
    Adjusted {
        /// Of which product.
        sku: String,
        /// Units in the house, held ones among them.
        on_hand: i64,
    },
    /// The last available unit is held or gone.
    Depleted {
        /// Of which product.
        sku: String,
    },
    /// Stock is held for an order.
    Reserved {
        /// The order.
        order: Uuid,
        /// What is held.
        lines: Lines,
    },
    /// A hold was given back.
    Released {
        /// The order.
        order: Uuid,
        /// What was held.
        lines: Lines,
        /// Whether its time to live ended it.
        expired: bool,
    },
    /// Held units left the house.
    Committed {
        /// The order.
        order: Uuid,
        /// What left.
        lines: Lines,
    },
}

//! Amounts of money.

/// An amount in one currency, in whole minor units, e.g. cents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Money {
    /// ISO 4217.
    pub currency_code: String,
    /// Minor units.
    pub minor_units: i64,
}

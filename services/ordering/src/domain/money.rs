//! Amounts of money.

/// An amount in one currency, in whole minor units, e.g. cents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Money {
    /// ISO 4217.
    pub currency_code: String,
    /// Minor units.
    pub minor_units: i64,
}

impl Money {
    /// This amount `quantity` times; `None` where the number is too large.
    pub fn times(&self, quantity: i32) -> Option<Self> {
        let minor_units = self.minor_units.checked_mul(i64::from(quantity))?;
        Some(Self {
            currency_code: self.currency_code.clone(),
            minor_units,
        })
    }

    /// The sum of both; `None` where they are of two currencies or the number is too large.
    pub fn plus(&self, other: &Self) -> Option<Self> {
        if self.currency_code != other.currency_code {
            return None;
        }
        let minor_units = self.minor_units.checked_add(other.minor_units)?;
        Some(Self {
            currency_code: self.currency_code.clone(),
            minor_units,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn euros(minor_units: i64) -> Money {
        Money {
            currency_code: "EUR".into(),
            minor_units,
        }
    }

    #[test]
    fn amounts_never_wrap_and_never_mix() {
        assert_eq!(euros(250).times(3), Some(euros(750)));
        assert_eq!(euros(i64::MAX).times(2), None);
        assert_eq!(euros(1).plus(&euros(2)), Some(euros(3)));
        assert_eq!(euros(i64::MAX).plus(&euros(1)), None);
        assert_eq!(
            euros(1).plus(&Money {
                currency_code: "USD".into(),
                minor_units: 1
            }),
            None
        );
    }
}

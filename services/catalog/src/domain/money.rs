//! An amount of money.

/// Whole minor units of a currency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Money {
    currency_code: String,
    minor_units: i64,
}

impl Money {
    /// An amount; `currency_code` is ISO 4217. `None` where it is not three capital letters.
    pub fn new(currency_code: impl Into<String>, minor_units: i64) -> Option<Self> {
        let currency_code = currency_code.into();
        let code = currency_code.as_bytes();
        (code.len() == 3 && code.iter().all(u8::is_ascii_uppercase)).then_some(Self {
            currency_code,
            minor_units,
        })
    }

    /// ISO 4217, e.g. `EUR`.
    pub fn currency_code(&self) -> &str {
        &self.currency_code
    }

    /// E.g. cents.
    pub fn minor_units(&self) -> i64 {
        self.minor_units
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_currency_is_three_capital_letters() {
        assert!(Money::new("EUR", 1).is_some());
        for code in ["", "eur", "EURO", "E1R", "ÄÖ"] {
            assert_eq!(Money::new(code, 1), None, "{code}");
        }
    }
}

//! A product: what it is called, what it costs, whether it can be bought.

use std::ops::RangeInclusive;

use time::OffsetDateTime;
use uuid::Uuid;

use super::money::Money;

/// What a product may cost, in minor units of its currency.
pub const PRICE_RANGE_MINOR_UNITS: RangeInclusive<i64> = 1..=100_000_000;
/// Longest name, in characters.
pub const MAX_NAME_CHARS: usize = 200;
/// Longest description, in characters.
pub const MAX_DESCRIPTION_CHARS: usize = 4000;
/// Longest sku, in bytes.
pub const MAX_SKU_BYTES: usize = 64;

/// Whether a product can be bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It can.
    OnSale,
    /// Never again.
    Retired,
}

/// A move that the rules forbid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProductError {
    /// Outside [`PRICE_RANGE_MINOR_UNITS`].
    #[error("A price is from {} to {} minor units.", PRICE_RANGE_MINOR_UNITS.start(), PRICE_RANGE_MINOR_UNITS.end())]
    PriceOutOfRange,
    /// Not ISO 4217.
    #[error("A currency is three capital letters, e.g. EUR.")]
    BadCurrency,
    /// Empty, blank or too long.
    #[error("A name has from 1 to {MAX_NAME_CHARS} characters.")]
    BadName,
    /// Too long.
    #[error("A description has at most {MAX_DESCRIPTION_CHARS} characters.")]
    BadDescription,
    /// Not a code that orders can name.
    #[error(
        "A sku has from 1 to {MAX_SKU_BYTES} letters, digits, '.', '_' and '-', and starts with a letter or digit."
    )]
    BadSku,
    /// A retired product stays as it is.
    #[error("The product is retired and can no longer be changed.")]
    Retired,
}

impl ProductError {
    /// The attribute at fault, as JSON names it; `None` where it is the product as a whole.
    pub fn field(&self) -> Option<&'static str> {
        match self {
            Self::PriceOutOfRange => Some("price.minorUnits"),
            Self::BadCurrency => Some("price.currencyCode"),
            Self::BadName => Some("name"),
            Self::BadDescription => Some("description"),
            Self::BadSku => Some("sku"),
            Self::Retired => None,
        }
    }
}

/// What a product is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The shop's own unique code.
    pub sku: String,
    /// For people.
    pub name: String,
    /// For people; may be empty.
    pub description: String,
    /// Of one unit.
    pub price: Money,
}

/// What an update changes; `None` leaves an attribute as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// The new name.
    pub name: Option<String>,
    /// The new description.
    pub description: Option<String>,
    /// The new currency of the price.
    pub currency_code: Option<String>,
    /// The new amount of the price.
    pub minor_units: Option<i64>,
}

/// The new product, as others hear of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created(pub Product);

/// The changed product, as others hear of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Updated(pub Product);

/// The product that can no longer be bought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retired(pub Product);

/// Everything that a product is, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// UUIDv7: later products sort after earlier ones.
    pub id: Uuid,
    /// Unique, never changed.
    pub sku: String,
    /// For people.
    pub name: String,
    /// For people; may be empty.
    pub description: String,
    /// Of one unit.
    pub price: Money,
    /// Whether it can be bought.
    pub state: State,
    /// When it was added.
    pub created: OffsetDateTime,
    /// When it last changed.
    pub updated: OffsetDateTime,
    /// Counts the changes; a save names the one that it read.
    pub version: i64,
}

/// Something that can be bought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Product(Parts);

impl Product {
    /// Adds a product to the catalog.
    ///
    /// # Errors
    /// An attribute outside its limits.
    pub fn create(id: Uuid, draft: Draft, now: OffsetDateTime) -> Result<Created, ProductError> {
        check_sku(&draft.sku)?;
        check_name(&draft.name)?;
        check_description(&draft.description)?;
        check_price(&draft.price)?;
        Ok(Created(Self(Parts {
            id,
            sku: draft.sku,
            name: draft.name,
            description: draft.description,
            price: draft.price,
            state: State::OnSale,
            created: now,
            updated: now,
            version: 1,
        })))
    }

    /// The product as it was stored.
    pub fn restore(parts: Parts) -> Self {
        Self(parts)
    }

    /// What the product is made of.
    pub fn parts(&self) -> &Parts {
        &self.0
    }

    /// Changes what `change` names; `None` where that changes nothing.
    ///
    /// # Errors
    /// [`ProductError::Retired`], or an attribute outside its limits; the product stays as it was.
    pub fn update(
        &mut self,
        change: Change,
        now: OffsetDateTime,
    ) -> Result<Option<Updated>, ProductError> {
        if self.0.state == State::Retired {
            return Err(ProductError::Retired);
        }
        let mut parts = self.0.clone();
        if let Some(name) = change.name {
            check_name(&name)?;
            parts.name = name;
        }
        if let Some(description) = change.description {
            check_description(&description)?;
            parts.description = description;
        }
        if change.currency_code.is_some() || change.minor_units.is_some() {
            let code = change
                .currency_code
                .unwrap_or_else(|| parts.price.currency_code().to_owned());
            let minor_units = change.minor_units.unwrap_or(parts.price.minor_units());
            parts.price = Money::new(code, minor_units).ok_or(ProductError::BadCurrency)?;
            check_price(&parts.price)?;
        }
        if parts == self.0 {
            return Ok(None);
        }
        parts.updated = now;
        self.0 = parts;
        Ok(Some(Updated(self.clone())))
    }

    /// Takes the product off sale for good; `None` where it is off sale already.
    pub fn retire(&mut self, now: OffsetDateTime) -> Option<Retired> {
        if self.0.state == State::Retired {
            return None;
        }
        self.0.state = State::Retired;
        self.0.updated = now;
        Some(Retired(self.clone()))
    }
}

fn check_sku(sku: &str) -> Result<(), ProductError> {
    let fits = sku.len() <= MAX_SKU_BYTES
        && sku.starts_with(|first: char| first.is_ascii_alphanumeric())
        && sku
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    fits.then_some(()).ok_or(ProductError::BadSku)
}

fn check_name(name: &str) -> Result<(), ProductError> {
    let fits = !name.trim().is_empty() && name.chars().count() <= MAX_NAME_CHARS;
    fits.then_some(()).ok_or(ProductError::BadName)
}

fn check_description(description: &str) -> Result<(), ProductError> {
    let fits = description.chars().count() <= MAX_DESCRIPTION_CHARS;
    fits.then_some(()).ok_or(ProductError::BadDescription)
}

fn check_price(price: &Money) -> Result<(), ProductError> {
    let fits = PRICE_RANGE_MINOR_UNITS.contains(&price.minor_units());
    fits.then_some(()).ok_or(ProductError::PriceOutOfRange)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;
    const LATER: OffsetDateTime = NOW.saturating_add(time::Duration::HOUR);

    fn draft() -> Draft {
        Draft {
            sku: "mug-1".into(),
            name: "Mug".into(),
            description: String::new(),
            price: Money::new("EUR", 950).expect("a currency"),
        }
    }

    fn product() -> Product {
        Product::create(Uuid::nil(), draft(), NOW)
            .expect("a good draft")
            .0
    }

    #[test]
    fn a_price_has_limits() {
        for (minor_units, good) in [
            (0, false),
            (-1, false),
            (1, true),
            (100_000_000, true),
            (100_000_001, false),
            (i64::MAX, false),
        ] {
            let price = Money::new("EUR", minor_units).expect("a currency");
            let made = Product::create(Uuid::nil(), Draft { price, ..draft() }, NOW);
            assert_eq!(made.is_ok(), good, "{minor_units}");
            let change = Change {
                minor_units: Some(minor_units),
                ..Change::default()
            };
            assert_eq!(
                product().update(change, LATER).is_ok(),
                good,
                "{minor_units}"
            );
        }
    }

    #[test]
    fn a_sku_is_a_code_and_a_name_is_no_blank() {
        for sku in ["", "-a", "a b", "a/b", "ä", &"a".repeat(65)] {
            let made = Product::create(
                Uuid::nil(),
                Draft {
                    sku: sku.to_owned(),
                    ..draft()
                },
                NOW,
            );
            assert_eq!(made, Err(ProductError::BadSku), "{sku}");
        }
        let blank = Product::create(
            Uuid::nil(),
            Draft {
                name: "  ".into(),
                ..draft()
            },
            NOW,
        );
        assert_eq!(blank, Err(ProductError::BadName));
    }

    #[test]
    fn an_update_changes_what_it_names_and_tells_it() {
        let mut product = product();
        let change = Change {
            minor_units: Some(990),
            ..Change::default()
        };
        let Updated(told) = product
            .update(change.clone(), LATER)
            .expect("legal")
            .expect("a change");
        assert_eq!(told, product);
        assert_eq!(
            product.parts().price,
            Money::new("EUR", 990).expect("a currency")
        );
        assert_eq!(
            (product.parts().name.as_str(), product.parts().updated),
            ("Mug", LATER)
        );
        assert_eq!(
            product.update(change, LATER),
            Ok(None),
            "the same again is no change"
        );
    }

    #[test]
    fn a_refused_update_changes_nothing() {
        let mut product = product();
        let change = Change {
            name: Some("Cup".into()),
            minor_units: Some(0),
            ..Change::default()
        };
        assert_eq!(
            product.update(change, LATER),
            Err(ProductError::PriceOutOfRange)
        );
        assert_eq!(product.parts().name, "Mug");
    }

    #[test]
    fn a_retired_product_is_retired_once_and_changed_no_more() {
        let mut product = product();
        assert!(product.retire(LATER).is_some());
        assert_eq!(product.retire(LATER), None);
        let change = Change {
            name: Some("Cup".into()),
            ..Change::default()
        };
        assert_eq!(product.update(change, LATER), Err(ProductError::Retired));
    }
}

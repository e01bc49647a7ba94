//! The stock of one sku.

use super::event::Event;

/// Most units that can be on hand.
pub const MAX_ON_HAND: i64 = 1_000_000_000;

/// A move that the stock forbids.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StockError {
    /// Fewer units are available than wanted.
    #[error("{}", out_of_stock(sku, *available))]
    OutOfStock {
        /// Of which product.
        sku: String,
        /// Units that are left.
        available: i64,
    },
    /// Fewer units than orders hold.
    #[error("{reserved} units are reserved for orders, so no fewer can be on hand.")]
    BelowReserved {
        /// Units held for orders.
        reserved: i64,
    },
    /// More units than the count can bear.
    #[error("At most {MAX_ON_HAND} units can be on hand.")]
    TooMany,
    /// More was to be given back than is held: the books are wrong.
    #[error("the stock of '{0}' holds less than its reservations say")]
    Unbalanced(String),
}

fn out_of_stock(sku: &str, available: i64) -> String {
    match available {
        ..=0 => format!("'{sku}' is out of stock."),
        1 => format!("Only 1 unit of '{sku}' is left."),
        _ => format!("Only {available} units of '{sku}' are left."),
    }
}

/// What is there of one sku, in units. Never more is held than is on hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stock {
    sku: String,
    on_hand: i64,
    reserved: i64,
    version: i64,
}

impl Stock {
    /// The stock of a sku that was not known before: nothing yet.
    pub fn new(sku: String) -> Self {
        Self {
            sku,
            on_hand: 0,
            reserved: 0,
            version: 0,
        }
    }

    /// The stock as it was stored. `None` where no stock can be so.
    pub fn restore(sku: String, on_hand: i64, reserved: i64, version: i64) -> Option<Self> {
        (0..=on_hand).contains(&reserved).then_some(Self {
            sku,
            on_hand,
            reserved,
            version,
        })
    }

    /// Of which product.
    pub fn sku(&self) -> &str {
        &self.sku
    }

    /// Units in the house, held ones among them.
    pub fn on_hand(&self) -> i64 {
        self.on_hand
    }

    /// Units held for orders.
    pub fn reserved(&self) -> i64 {
        self.reserved
    }

    /// Units that can still be ordered.
    pub fn available(&self) -> i64 {
        self.on_hand - self.reserved
    }

    /// Counts the changes; 0 where the stock was never stored.
    pub fn version(&self) -> i64 {
        self.version
    }

    /// Says how many units are on hand. Says nothing where that is no news.
    ///
    /// # Errors
    /// [`StockError::BelowReserved`], [`StockError::TooMany`].
    pub fn count(&mut self, on_hand: i64) -> Result<Vec<Event>, StockError> {
        if on_hand < self.reserved {
            return Err(StockError::BelowReserved {
                reserved: self.reserved,
            });
        }
        if on_hand > MAX_ON_HAND {
            return Err(StockError::TooMany);
        }
        if on_hand == self.on_hand && self.version > 0 {
            return Ok(Vec::new());
        }
        let before = self.available();
        self.on_hand = on_hand;
        let mut events = vec![self.adjusted()];
        events.extend(self.depleted(before));
        Ok(events)
    }

    /// Holds units.
    pub(super) fn hold(&mut self, quantity: i64) -> Result<Option<Event>, StockError> {
        self.check_available(quantity)?;
        let before = self.available();
        self.reserved += quantity;
        Ok(self.depleted(before))
    }

    /// Gives held units back.
    pub(super) fn release(&mut self, quantity: i64) -> Result<(), StockError> {
        self.check_held(quantity)?;
        self.reserved -= quantity;
        Ok(())
    }

    /// Lets held units leave the house.
    pub(super) fn commit(&mut self, quantity: i64) -> Result<(), StockError> {
        self.release(quantity)?;
        self.on_hand -= quantity;
        Ok(())
    }

    /// Lets units leave the house that nobody held.
    pub(super) fn take(&mut self, quantity: i64) -> Result<Option<Event>, StockError> {
        self.check_available(quantity)?;
        let before = self.available();
        self.on_hand -= quantity;
        Ok(self.depleted(before))
    }

    /// Takes units back into the house.
    pub(super) fn put_back(&mut self, quantity: i64) -> Event {
        self.on_hand = self.on_hand.saturating_add(quantity);
        self.adjusted()
    }

    fn check_available(&self, quantity: i64) -> Result<(), StockError> {
        if quantity > self.available() {
            return Err(StockError::OutOfStock {
                sku: self.sku.clone(),
                available: self.available(),
            });
        }
        Ok(())
    }

    fn check_held(&self, quantity: i64) -> Result<(), StockError> {
        if quantity > self.reserved {
            return Err(StockError::Unbalanced(self.sku.clone()));
        }
        Ok(())
    }

    fn adjusted(&self) -> Event {
        Event::Adjusted {
            sku: self.sku.clone(),
            on_hand: self.on_hand,
        }
    }

    fn depleted(&self, available_before: i64) -> Option<Event> {
        (available_before > 0 && self.available() == 0).then(|| Event::Depleted {
            sku: self.sku.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stock(on_hand: i64, reserved: i64) -> Stock {
        Stock::restore("mug".into(), on_hand, reserved, 1).expect("balanced")
    }

    fn depleted() -> Event {
        Event::Depleted { sku: "mug".into() }
    }

    #[test]
    fn only_what_is_available_can_be_held() {
        let mut mug = stock(5, 3);
        assert_eq!(
            mug.hold(3),
            Err(StockError::OutOfStock {
                sku: "mug".into(),
                available: 2
            })
        );
        assert_eq!(mug.hold(1), Ok(None));
        assert_eq!(mug.hold(1), Ok(Some(depleted())), "the last one is told");
        assert_eq!((mug.on_hand(), mug.reserved(), mug.available()), (5, 5, 0));
    }

    #[test]
    fn committing_takes_what_was_held_and_leaves_the_rest() {
        let mut mug = stock(5, 3);
        mug.commit(2).expect("held");
        assert_eq!((mug.on_hand(), mug.reserved(), mug.available()), (3, 1, 2));
        assert_eq!(mug.commit(2), Err(StockError::Unbalanced("mug".into())));
        assert_eq!(mug.release(2), Err(StockError::Unbalanced("mug".into())));
    }

    #[test]
    fn taking_needs_available_units() {
        let mut mug = stock(5, 3);
        assert!(matches!(
            mug.take(3),
            Err(StockError::OutOfStock { available: 2, .. })
        ));
        assert_eq!(mug.take(2), Ok(Some(depleted())));
        assert_eq!((mug.on_hand(), mug.available()), (3, 0));
    }

    #[test]
    fn a_count_stays_above_what_is_held() {
        let mut mug = stock(5, 3);
        assert_eq!(mug.count(2), Err(StockError::BelowReserved { reserved: 3 }));
        assert_eq!(mug.count(MAX_ON_HAND + 1), Err(StockError::TooMany));
        assert_eq!(mug.count(5), Ok(vec![]), "no news");
        let adjusted = Event::Adjusted {
            sku: "mug".into(),
            on_hand: 3,
        };
        assert_eq!(mug.count(3), Ok(vec![adjusted, depleted()]));
    }

    #[test]
    fn a_new_sku_without_units_is_told_but_not_as_depleted() {
        let adjusted = Event::Adjusted {
            sku: "new".into(),
            on_hand: 0,
        };
        assert_eq!(Stock::new("new".into()).count(0), Ok(vec![adjusted]));
    }

    #[test]
    fn a_shop_can_show_what_is_missing() {
        let text = |available| {
            StockError::OutOfStock {
                sku: "mug".into(),
                available,
            }
            .to_string()
        };
        assert_eq!(text(0), "'mug' is out of stock.");
        assert_eq!(text(1), "Only 1 unit of 'mug' is left.");
        assert_eq!(text(2), "Only 2 units of 'mug' are left.");
    }

    #[test]
    fn no_stock_holds_more_than_there_is() {
        assert_eq!(Stock::restore("mug".into(), 1, 2, 1), None);
        assert_eq!(Stock::restore("mug".into(), 1, -1, 1), None);
    }
}

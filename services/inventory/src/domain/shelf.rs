//! The stock that one order's lines are about.

use std::collections::BTreeMap;

use super::{
    event::Event,
    lines::Lines,
    stock::{Stock, StockError},
};

/// The stock of some skus; every move is for all lines or for none.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Shelf(BTreeMap<String, Stock>);

impl Shelf {
    /// The stock of the skus that are known.
    pub fn of(stocks: impl IntoIterator<Item = Stock>) -> Self {
        Self(
            stocks
                .into_iter()
                .map(|stock| (stock.sku().to_owned(), stock))
                .collect(),
        )
    }

    /// In the order of the skus.
    pub fn stocks(&self) -> impl Iterator<Item = &Stock> {
        self.0.values()
    }

    /// Holds all lines.
    pub(super) fn hold(&mut self, lines: &Lines) -> Result<Vec<Event>, StockError> {
        self.for_all(lines, Stock::hold)
    }

    /// Gives all held lines back.
    pub(super) fn release(&mut self, lines: &Lines) -> Result<Vec<Event>, StockError> {
        self.for_all(lines, |stock, quantity| {
            stock.release(quantity).map(|()| None)
        })
    }

    /// Lets all held lines leave the house.
    pub(super) fn commit(&mut self, lines: &Lines) -> Result<Vec<Event>, StockError> {
        self.for_all(lines, |stock, quantity| {
            stock.commit(quantity).map(|()| None)
        })
    }

    /// Lets all lines leave the house though nobody held them.
    pub(super) fn take(&mut self, lines: &Lines) -> Result<Vec<Event>, StockError> {
        self.for_all(lines, Stock::take)
    }

    /// Takes all lines back into the house.
    pub(super) fn put_back(&mut self, lines: &Lines) -> Result<Vec<Event>, StockError> {
        self.for_all(lines, |stock, quantity| Ok(Some(stock.put_back(quantity))))
    }

    /// The first line that fails, as the order names them, is the one that is told; then nothing has changed.
    fn for_all(
        &mut self,
        lines: &Lines,
        go: impl Fn(&mut Stock, i64) -> Result<Option<Event>, StockError>,
    ) -> Result<Vec<Event>, StockError> {
        let mut after = self.0.clone();
        let mut events = Vec::new();
        for line in lines.iter() {
            let unknown = || StockError::OutOfStock {
                sku: line.sku.clone(),
                available: 0,
            };
            let stock = after.get_mut(&line.sku).ok_or_else(unknown)?;
            events.extend(go(stock, line.quantity)?);
        }
        self.0 = after;
        Ok(events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::lines::Line;

    fn shelf() -> Shelf {
        let stock =
            |sku: &str, on_hand| Stock::restore(sku.into(), on_hand, 0, 1).expect("balanced");
        Shelf::of([stock("a", 5), stock("b", 2)])
    }

    fn lines(lines: &[(&str, i64)]) -> Lines {
        Lines::of(lines.iter().map(|(sku, quantity)| Line {
            sku: (*sku).into(),
            quantity: *quantity,
        }))
        .expect("good lines")
    }

    #[test]
    fn one_short_line_holds_nothing() {
        let mut shelf = shelf();
        let short = shelf.hold(&lines(&[("a", 1), ("b", 3)]));
        assert_eq!(
            short,
            Err(StockError::OutOfStock {
                sku: "b".into(),
                available: 2
            })
        );
        assert_eq!(shelf, self::shelf());
    }

    #[test]
    fn the_first_short_line_of_the_order_is_named() {
        let short = shelf().hold(&lines(&[("b", 9), ("a", 9)]));
        assert!(matches!(short, Err(StockError::OutOfStock { sku, .. }) if sku == "b"));
    }

    #[test]
    fn an_unknown_sku_is_out_of_stock() {
        let short = shelf().hold(&lines(&[("c", 1)]));
        assert_eq!(
            short,
            Err(StockError::OutOfStock {
                sku: "c".into(),
                available: 0
            })
        );
    }

    #[test]
    fn a_hold_and_its_release_leave_no_trace() {
        let mut shelf = shelf();
        let all = lines(&[("a", 5), ("b", 1)]);
        assert_eq!(
            shelf.hold(&all),
            Ok(vec![Event::Depleted { sku: "a".into() }])
        );
        assert_eq!(shelf.release(&all), Ok(vec![]));
        assert_eq!(shelf, self::shelf());
    }
}

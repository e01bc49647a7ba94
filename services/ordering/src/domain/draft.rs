//! What a customer wants, before it is priced.

use std::collections::HashSet;

/// Units of one sku.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// What.
    pub sku: String,
    /// Units, at least 1.
    pub quantity: i32,
}

/// The lines of an order to be: each sku once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    wishes: Vec<Wish>,
}

/// The line that names a sku which an earlier line has named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DuplicateSku {
    /// Position of the line, from 0.
    pub line: usize,
}

impl Draft {
    /// Takes the lines in the customer's order.
    ///
    /// # Errors
    /// [`DuplicateSku`]: whether the quantities add up or one is a mistake only the customer knows.
    pub fn new(wishes: Vec<Wish>) -> Result<Self, DuplicateSku> {
        let mut seen = HashSet::new();
        match wishes
            .iter()
            .position(|wish| !seen.insert(wish.sku.as_str()))
        {
            Some(line) => Err(DuplicateSku { line }),
            None => Ok(Self { wishes }),
        }
    }

    /// The lines.
    pub fn wishes(&self) -> &[Wish] {
        &self.wishes
    }

    /// Every sku, once.
    pub fn skus(&self) -> Vec<String> {
        self.wishes.iter().map(|wish| wish.sku.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(sku: &str) -> Wish {
        Wish {
            sku: sku.into(),
            quantity: 1,
        }
    }

    #[test]
    fn a_sku_stands_in_one_line() {
        assert_eq!(
            Draft::new(vec![wish("a"), wish("b")]).expect("fine").skus(),
            ["a", "b"]
        );
        assert_eq!(
            Draft::new(vec![wish("a"), wish("b"), wish("a")]),
            Err(DuplicateSku { line: 2 })
        );
    }
}

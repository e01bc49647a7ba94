//! What an order takes.

/// Units of one sku.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Of which product.
    pub sku: String,
    /// Units, at least 1.
    pub quantity: i64,
}

/// The lines of one order: each sku once, in the order in which they were first named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines(Vec<Line>);

impl Lines {
    /// Adds up lines of the same sku. `None` where there is no line, a quantity below 1, or a sum that is no number any more.
    pub fn of(lines: impl IntoIterator<Item = Line>) -> Option<Self> {
        let mut sums: Vec<Line> = Vec::new();
        for line in lines {
            if line.quantity < 1 {
                return None;
            }
            match sums.iter_mut().find(|sum| sum.sku == line.sku) {
                Some(sum) => sum.quantity = sum.quantity.checked_add(line.quantity)?,
                None => sums.push(line),
            }
        }
        (!sums.is_empty()).then_some(Self(sums))
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = &Line> {
        self.0.iter()
    }

    /// Whether the other lines take the same, in whatever order.
    pub fn takes_the_same_as(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.0.iter().all(|line| other.0.contains(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(sku: &str, quantity: i64) -> Line {
        Line {
            sku: sku.to_owned(),
            quantity,
        }
    }

    #[test]
    fn the_same_sku_twice_is_added_up() {
        let lines = Lines::of([line("b", 1), line("a", 2), line("b", 3)]).expect("good lines");
        assert_eq!(lines, Lines(vec![line("b", 4), line("a", 2)]));
    }

    #[test]
    fn nothing_and_too_much_are_no_lines() {
        assert_eq!(Lines::of([]), None);
        assert_eq!(Lines::of([line("a", 0)]), None);
        assert_eq!(Lines::of([line("a", i64::MAX), line("a", 1)]), None);
    }

    #[test]
    fn order_does_not_count_but_quantities_do() {
        let lines = |lines: [Line; 2]| Lines::of(lines).expect("good lines");
        let ab = lines([line("a", 1), line("b", 2)]);
        assert!(ab.takes_the_same_as(&lines([line("b", 2), line("a", 1)])));
        assert!(!ab.takes_the_same_as(&lines([line("b", 1), line("a", 1)])));
    }
}

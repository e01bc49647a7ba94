//! The order that `after` gives the steps.

use std::collections::HashSet;

/// Step indices such that each stands after all that it names, or the indices that form a cycle.
pub(super) fn order(after: &[Vec<usize>]) -> Result<Vec<usize>, Vec<usize>> {
    let mut placed = vec![false; after.len()];
    let mut order = Vec::with_capacity(after.len());
    // The first in the text goes first, so that the order is the same each time.
    while let Some(step) = (0..after.len())
        .find(|step| !placed[*step] && after[*step].iter().all(|name| placed[*name]))
    {
        placed[step] = true;
        order.push(step);
    }
    if order.len() == after.len() {
        Ok(order)
    } else {
        Err((0..after.len()).filter(|step| !placed[*step]).collect())
    }
}

/// Everything that stands before each step.
pub(super) fn ancestors(after: &[Vec<usize>], order: &[usize]) -> Vec<HashSet<usize>> {
    let mut ancestors = vec![HashSet::new(); after.len()];
    for &step in order {
        let mut all: HashSet<usize> = after[step].iter().copied().collect();
        for parent in &after[step] {
            all.extend(&ancestors[*parent]);
        }
        ancestors[step] = all;
    }
    ancestors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diamond_has_an_order_and_ancestors() {
        let after = vec![vec![], vec![0], vec![0], vec![1, 2]];
        let order = order(&after).expect("no cycle");
        assert_eq!(order, [0, 1, 2, 3]);
        assert_eq!(ancestors(&after, &order)[3], HashSet::from([0, 1, 2]));
    }

    #[test]
    fn a_cycle_is_named_without_what_leads_to_it() {
        let after = vec![vec![], vec![2, 0], vec![1]];
        assert_eq!(order(&after), Err(vec![1, 2]));
    }
}

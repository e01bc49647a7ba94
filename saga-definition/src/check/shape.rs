//! Names, order and pivot: what can be said of a definition without looking at its calls.

use std::collections::{HashMap, HashSet};

use contracts::caravan::saga::v1 as pb;

use super::{Compiler, names::is_step_name};

impl Compiler<'_> {
    pub(super) fn check_names(&mut self, steps: &[pb::Step]) {
        let mut seen = HashSet::new();
        for (index, step) in steps.iter().enumerate() {
            let field = format!("steps[{index}].name");
            if !is_step_name(&step.name) {
                let text = "is 1 to 64 lower case letters, digits and `_`, a letter first, and no word of CEL";
                self.fault(field, text);
            } else if !seen.insert(step.name.as_str()) {
                self.fault(field, format!("there are two steps `{}`", step.name));
            }
        }
    }

    /// A signal that two steps wait for would be for either.
    pub(super) fn check_signals(&mut self, steps: &[pb::Step]) {
        let mut seen = HashMap::new();
        for (index, step) in steps.iter().enumerate() {
            let Some(wait) = &step.wait_for else { continue };
            if let Some(other) = seen.insert(wait.signal.as_str(), step.name.as_str()) {
                self.fault(
                    format!("steps[{index}].waitFor.signal"),
                    format!("step `{other}` waits for the signal `{}` too", wait.signal),
                );
            }
        }
    }

    /// Indices of what each step waits for: what `after` names, else the step before it in the text.
    pub(super) fn predecessors(&mut self, steps: &[pb::Step]) -> Vec<Vec<usize>> {
        let mut all = Vec::with_capacity(steps.len());
        for (index, step) in steps.iter().enumerate() {
            let mut parents = Vec::new();
            for (place, name) in step.after.iter().enumerate() {
                let field = format!("steps[{index}].after[{place}]");
                match steps.iter().position(|other| other.name == *name) {
                    Some(parent) if parents.contains(&parent) => {
                        self.fault(field, format!("names `{name}` twice"));
                    }
                    Some(parent) => parents.push(parent),
                    None => self.fault(field, format!("there is no step `{name}`")),
                }
            }
            if step.after.is_empty() && !step.parallel && index > 0 {
                parents.push(index - 1);
            }
            all.push(parents);
        }
        all
    }

    /// At most one, and every other step stands clearly before or after it: else a failure beside it could neither go back nor forward.
    pub(super) fn pivot(
        &mut self,
        steps: &[pb::Step],
        ancestors: &[HashSet<usize>],
    ) -> Option<usize> {
        let mut pivots = steps
            .iter()
            .enumerate()
            .filter(|(_, step)| step.pivot)
            .map(|(index, _)| index);
        let pivot = pivots.next()?;
        for second in pivots {
            let text = format!(
                "`{}` and `{}` are both the pivot",
                steps[pivot].name, steps[second].name
            );
            self.fault(format!("steps[{second}].pivot"), text);
        }
        if steps[pivot].call.is_empty() {
            self.fault(
                format!("steps[{pivot}].pivot"),
                "is the pivot and calls nothing",
            );
        }
        if steps[pivot].for_each.is_some() {
            self.fault(
                format!("steps[{pivot}].for_each"),
                "is in the pivot, which is done once: with some items done the saga could go neither back nor forward",
            );
        }
        for (index, step) in steps.iter().enumerate() {
            let past = ancestors[index].contains(&pivot);
            if index != pivot && !past && !ancestors[pivot].contains(&index) {
                let text = format!(
                    "stands neither before nor after the pivot `{}`",
                    steps[pivot].name
                );
                self.fault(format!("steps[{index}].after"), text);
            }
            if past && step.compensation.is_some() {
                let text = "stands after the pivot, so it is never undone";
                self.fault(format!("steps[{index}].compensation"), text);
            }
        }
        Some(pivot)
    }
}

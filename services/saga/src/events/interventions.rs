//! What people and services did to a saga, as the contract says it.

use chassis::clock::timestamp_us;
use contracts::caravan::saga::v1::{self as pb, InterventionKind};

use super::publish::failure;
use crate::domain::{
    Micros,
    definition::Step,
    transition::{Operation, Transition, Verdict},
};

/// The intervention that a transition is, where it is one.
pub fn of(transition: &Transition, steps: &[Step], at: Micros) -> Option<pb::Intervention> {
    let intervention = |kind: InterventionKind, by: &String, reason: &String| pb::Intervention {
        kind: kind.into(),
        actor: by.clone(),
        reason: reason.clone(),
        time: Some(timestamp_us(at)),
        ..pb::Intervention::default()
    };
    Some(match transition {
        Transition::Retried { by, reason } => intervention(InterventionKind::Retried, by, reason),
        Transition::Cancelled { by, reason } => {
            intervention(InterventionKind::Cancelled, by, reason)
        }
        Transition::Overridden {
            by,
            reason,
            step,
            item,
            operation: done,
            verdict,
        } => {
            let (kind, why) = match verdict {
                Verdict::Skipped => (InterventionKind::Skipped, None),
                Verdict::Done(_) => (InterventionKind::Resolved, None),
                Verdict::Failed(why) => (InterventionKind::Resolved, Some(failure(why))),
            };
            pb::Intervention {
                step: steps
                    .get(*step)
                    .map(|step| step.name.to_string())
                    .unwrap_or_default(),
                item: item.and_then(|item| i32::try_from(item).ok()),
                operation: operation(*done).into(),
                failure: why,
                ..intervention(kind, by, reason)
            }
        }
        Transition::Signalled {
            by,
            reason,
            signal,
            id,
            ..
        } => pb::Intervention {
            signal: signal.to_string(),
            signal_id: id.clone(),
            ..intervention(InterventionKind::Signalled, by, reason)
        },
        _ => return None,
    })
}

/// Doing or undoing, as the contract says it.
pub fn operation(operation: Operation) -> pb::Operation {
    match operation {
        Operation::Action => pb::Operation::Action,
        Operation::Compensation => pb::Operation::Compensation,
    }
}

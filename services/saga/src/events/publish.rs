//! A saga's transitions as events.

use chassis::{db::Error, outbox::Envelope};
use contracts::caravan::saga::v1 as pb;

use super::interventions;
use crate::domain::{
    Micros,
    saga::Saga,
    transition::{Failure, Transition},
};

/// What others are told of these transitions, which are recorded with the time `now`.
///
/// # Errors
/// The contract's own: none of its events are missing.
pub fn events(
    saga: &Saga,
    transitions: &[Transition],
    now: Micros,
) -> Result<Vec<Envelope>, Error> {
    let mut events = Vec::new();
    for transition in transitions {
        let (saga_id, definition, key) = whose(saga);
        events.push(match transition {
            Transition::Completed => Envelope::of(&pb::SagaCompleted {
                saga_id,
                definition,
                key,
            })?,
            Transition::Compensated => Envelope::of(&pb::SagaCompensated {
                saga_id,
                definition,
                key,
                failure: saga.failure().map(failure),
            })?,
            Transition::Parked { failure: why } => Envelope::of(&pb::SagaParked {
                saga_id,
                definition,
                key,
                failure: Some(failure(why)),
            })?,
            other => {
                let steps = &saga.definition().steps;
                let Some(intervention) = interventions::of(other, steps, now) else {
                    continue;
                };
                Envelope::of(&pb::SagaIntervened {
                    saga_id,
                    definition,
                    key,
                    intervention: Some(intervention),
                })?
            }
        });
    }
    Ok(events)
}

/// What others are told of a new saga.
///
/// # Errors
/// As [`events`].
pub fn started(saga: &Saga) -> Result<Envelope, Error> {
    let (saga_id, definition, key) = whose(saga);
    Envelope::of(&pb::SagaStarted {
        saga_id,
        definition,
        key,
    })
}

fn whose(saga: &Saga) -> (String, String, String) {
    let definition = saga.definition().name.clone();
    (saga.id().to_string(), definition, saga.key().to_owned())
}

/// A failure as the contract says it.
pub fn failure(failure: &Failure) -> pb::Failure {
    pb::Failure {
        step: failure.step.to_string(),
        code: failure.code.clone(),
        reason: failure.reason.clone(),
        message: failure.message.clone(),
    }
}

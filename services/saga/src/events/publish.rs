//! A saga's transitions as events.

use chassis::{
    db::{Error, Tx},
    outbox,
};
use contracts::caravan::saga::v1 as pb;

use crate::domain::{
    saga::Saga,
    transition::{Failure, Transition},
};

/// Appends what others are told of these transitions.
///
/// # Errors
/// The database's own.
pub async fn append(tx: &Tx, saga: &Saga, transitions: &[Transition]) -> Result<(), Error> {
    let saga_id = saga.id().to_string();
    let definition = saga.definition().name.clone();
    let key = saga.key().to_owned();
    for transition in transitions {
        match transition {
            Transition::Completed => {
                let event = pb::SagaCompleted {
                    saga_id: saga_id.clone(),
                    definition: definition.clone(),
                    key: key.clone(),
                };
                outbox::append(tx, &event).await?;
            }
            Transition::Compensated => {
                let event = pb::SagaCompensated {
                    saga_id: saga_id.clone(),
                    definition: definition.clone(),
                    key: key.clone(),
                    failure: saga.failure().map(failure),
                };
                outbox::append(tx, &event).await?;
            }
            Transition::Parked { failure: why } => {
                let event = pb::SagaParked {
                    saga_id: saga_id.clone(),
                    definition: definition.clone(),
                    key: key.clone(),
                    failure: Some(failure(why)),
                };
                outbox::append(tx, &event).await?;
            }
            _ => {}
        }
    }
    Ok(())
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

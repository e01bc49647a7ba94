//! Transitions to records of a saga's log and back.

use chassis::db::{Error, Tx};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder,
};
use uuid::Uuid;

use super::entity::record::{ActiveModel, Column, Entity, Kind, Model};
use crate::domain::{
    Micros,
    definition::Definition,
    transition::{Failure, Operation, Sequel, Transition},
};

/// Who writes to a saga's log, and when.
#[derive(Clone, Copy, Debug)]
pub struct Writing {
    /// The saga.
    pub saga: Uuid,
    /// The writer's epoch.
    pub epoch: i64,
    /// Records that the log has before.
    pub records: i32,
    /// The time of writing.
    pub at: Micros,
}

/// Adds transitions to a saga's log.
///
/// # Errors
/// The database's own.
pub async fn append(
    tx: &Tx,
    writing: Writing,
    definition: &Definition,
    transitions: &[Transition],
) -> Result<(), Error> {
    if transitions.is_empty() {
        return Ok(());
    }
    let numbers = writing.records.saturating_add(1)..;
    let rows = numbers
        .zip(transitions)
        .map(|(number, transition)| row(writing, number, definition, transition));
    Entity::insert_many(rows).exec_without_returning(tx).await?;
    Ok(())
}

/// The log of a saga, oldest first.
///
/// # Errors
/// The database's own.
pub async fn read(db: &impl ConnectionTrait, saga: Uuid) -> Result<Vec<Model>, Error> {
    Ok(Entity::find()
        .filter(Column::SagaId.eq(saga))
        .order_by_asc(Column::Number)
        .all(db)
        .await?)
}

fn row(
    writing: Writing,
    number: i32,
    definition: &Definition,
    transition: &Transition,
) -> ActiveModel {
    let mut row = blank(writing, number);
    match transition {
        Transition::Passed { step } => locate(&mut row, Kind::Passed, *step, Operation::Action, 0),
        Transition::Skipped { step } => {
            locate(&mut row, Kind::Skipped, *step, Operation::Action, 0)
        }
        Transition::Called {
            step,
            operation,
            attempt,
        } => locate(&mut row, Kind::Called, *step, *operation, *attempt),
        Transition::Answered {
            step,
            operation,
            attempt,
            reply,
        } => {
            locate(&mut row, Kind::Answered, *step, *operation, *attempt);
            row.reply = Set(reply.as_ref().map(|reply| reply.to_vec()));
        }
        Transition::Failed {
            step,
            operation,
            attempt,
            failure,
            doubtful,
            sequel,
        } => {
            let kind = match sequel {
                Sequel::Again { at } => {
                    row.due_at_us = Set(Some(*at));
                    Kind::FailedAgain
                }
                Sequel::Refused => Kind::FailedRefused,
                Sequel::GivenUp => Kind::FailedGivenUp,
                Sequel::Parked => Kind::FailedParked,
            };
            locate(&mut row, kind, *step, *operation, *attempt);
            explain(&mut row, definition, failure);
            row.doubtful = Set(*doubtful);
        }
        Transition::TurnedBack { failure } => {
            row.kind = Set(Kind::TurnedBack);
            explain(&mut row, definition, failure);
        }
        Transition::Parked { failure } => {
            row.kind = Set(Kind::Parked);
            explain(&mut row, definition, failure);
        }
        Transition::Cancelled { by, reason } | Transition::Retried { by, reason } => {
            let cancelled = matches!(transition, Transition::Cancelled { .. });
            row.kind = Set(if cancelled {
                Kind::Cancelled
            } else {
                Kind::Retried
            });
            row.actor = Set(Some(by.clone()));
            row.message = Set(Some(reason.clone()));
        }
        Transition::Completed => row.kind = Set(Kind::Completed),
        Transition::Compensated => row.kind = Set(Kind::Compensated),
    }
    row
}

/// Every column set, so that all rows of one statement have the same.
fn blank(writing: Writing, number: i32) -> ActiveModel {
    ActiveModel {
        saga_id: Set(writing.saga),
        number: Set(number),
        at_us: Set(writing.at),
        epoch: Set(writing.epoch),
        kind: Set(Kind::Passed),
        step: Set(None),
        undoing: Set(false),
        attempt: Set(0),
        reply: Set(None),
        code: Set(None),
        reason: Set(None),
        message: Set(None),
        doubtful: Set(false),
        due_at_us: Set(None),
        actor: Set(None),
    }
}

fn locate(row: &mut ActiveModel, kind: Kind, step: usize, operation: Operation, attempt: u32) {
    row.kind = Set(kind);
    row.step = Set(i32::try_from(step).ok());
    row.undoing = Set(operation == Operation::Compensation);
    row.attempt = Set(i32::try_from(attempt).unwrap_or(i32::MAX));
}

fn explain(row: &mut ActiveModel, definition: &Definition, failure: &Failure) {
    row.step = Set(definition
        .step(&failure.step)
        .and_then(|step| i32::try_from(step).ok()));
    row.code = Set(Some(failure.code.clone()));
    row.reason = Set(Some(failure.reason.clone()));
    row.message = Set(Some(failure.message.clone()));
}

/// What a record tells.
///
/// # Errors
/// [`Error::Corrupt`] where a record lacks what its kind needs.
pub fn transition(row: &Model, definition: &Definition) -> Result<Transition, Error> {
    let corrupt = || Error::Corrupt(format!("saga_log {} {}", row.saga_id, row.number));
    let step = || {
        let step = row.step.and_then(|step| usize::try_from(step).ok());
        step.filter(|step| *step < definition.steps.len())
            .ok_or_else(corrupt)
    };
    let operation = if row.undoing {
        Operation::Compensation
    } else {
        Operation::Action
    };
    let attempt = u32::try_from(row.attempt).map_err(|_| corrupt())?;
    let failure = || -> Failure {
        let name = row
            .step
            .and_then(|step| definition.steps.get(usize::try_from(step).ok()?));
        Failure {
            step: name.map(|step| step.name.clone()).unwrap_or_default(),
            code: row.code.clone().unwrap_or_default(),
            reason: row.reason.clone().unwrap_or_default(),
            message: row.message.clone().unwrap_or_default(),
        }
    };
    let failed = |sequel| -> Result<Transition, Error> {
        let doubtful = row.doubtful;
        Ok(Transition::Failed {
            step: step()?,
            operation,
            attempt,
            failure: failure(),
            doubtful,
            sequel,
        })
    };
    let by = || row.actor.clone().unwrap_or_default();
    let reason = || row.message.clone().unwrap_or_default();
    Ok(match row.kind {
        Kind::Passed => Transition::Passed { step: step()? },
        Kind::Skipped => Transition::Skipped { step: step()? },
        Kind::Called => Transition::Called {
            step: step()?,
            operation,
            attempt,
        },
        Kind::Answered => {
            let reply = row.reply.clone().map(Into::into);
            Transition::Answered {
                step: step()?,
                operation,
                attempt,
                reply,
            }
        }
        Kind::FailedAgain => failed(Sequel::Again {
            at: row.due_at_us.ok_or_else(corrupt)?,
        })?,
        Kind::FailedRefused => failed(Sequel::Refused)?,
        Kind::FailedGivenUp => failed(Sequel::GivenUp)?,
        Kind::FailedParked => failed(Sequel::Parked)?,
        Kind::TurnedBack => Transition::TurnedBack { failure: failure() },
        Kind::Parked => Transition::Parked { failure: failure() },
        Kind::Cancelled => Transition::Cancelled {
            by: by(),
            reason: reason(),
        },
        Kind::Retried => Transition::Retried {
            by: by(),
            reason: reason(),
        },
        Kind::Completed => Transition::Completed,
        Kind::Compensated => Transition::Compensated,
    })
}

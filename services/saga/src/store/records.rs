//! Transitions as rows of the log.

use chassis::db::{Error, Tx};
use sea_orm::{ActiveEnum as _, ConnectionTrait as _, Statement, Value};
use uuid::Uuid;

use super::{
    chunks,
    entity::record::{Kind, Model},
};
use crate::domain::{
    Micros,
    definition::Definition,
    saga,
    transition::{Failure, Operation, Sequel, Transition, Verdict},
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

/// The rows of transitions.
pub fn of(writing: Writing, definition: &Definition, transitions: &[Transition]) -> Vec<Model> {
    let numbers = writing.records.saturating_add(1)..;
    numbers
        .zip(transitions)
        .map(|(number, transition)| row(writing, number, definition, transition))
        .collect()
}

/// Adds rows, of any sagas, to the log.
///
/// # Errors
/// The database's own.
pub async fn insert(tx: &Tx, rows: Vec<&Model>) -> Result<(), Error> {
    const COLUMNS: &str = "saga_id, number, at_us, epoch, kind, step, item, undoing, attempt, reply, code, reason, \
                           message, doubtful, due_at_us, actor";
    let backend = tx.get_database_backend();
    let mut rows = rows.into_iter();
    for size in chunks::sizes(rows.len()) {
        let tuples = chunks::tuples(backend, size, 16);
        let sql = format!("INSERT INTO saga_log ({COLUMNS}) VALUES {tuples}");
        let values = rows.by_ref().take(size).flat_map(values);
        tx.execute_raw(Statement::from_sql_and_values(backend, sql, values))
            .await?;
    }
    Ok(())
}

fn values(row: &Model) -> [Value; 16] {
    let row = row.clone();
    [
        row.saga_id.into(),
        row.number.into(),
        row.at_us.into(),
        row.epoch.into(),
        row.kind.to_value().into(),
        row.step.into(),
        row.item.into(),
        row.undoing.into(),
        row.attempt.into(),
        row.reply.into(),
        row.code.into(),
        row.reason.into(),
        row.message.into(),
        row.doubtful.into(),
        row.due_at_us.into(),
        row.actor.into(),
    ]
}

fn row(writing: Writing, number: i32, definition: &Definition, transition: &Transition) -> Model {
    let mut row = blank(writing, number);
    match transition {
        Transition::Passed { step } => row.at(Kind::Passed, *step, None),
        Transition::Skipped { step } => row.at(Kind::Skipped, *step, None),
        Transition::Fanned { step, items } => {
            row.at(Kind::Fanned, *step, None);
            row.attempt = i32::try_from(saga::item_count(items)).unwrap_or(i32::MAX);
            row.reply = Some(items.to_vec());
        }
        Transition::Awaited { step, until } => {
            row.at(Kind::Awaited, *step, None);
            row.due_at_us = *until;
        }
        Transition::Received { step, signal } => {
            row.at(Kind::Received, *step, None);
            row.attempt = i32::try_from(*signal).unwrap_or(i32::MAX);
        }
        Transition::Called {
            step,
            item,
            operation,
            attempt,
            ..
        } => {
            row.at(Kind::Called, *step, *item);
            row.tried(*operation, *attempt);
        }
        Transition::Answered {
            step,
            item,
            operation,
            attempt,
            reply,
        } => {
            row.at(Kind::Answered, *step, *item);
            row.tried(*operation, *attempt);
            row.reply = reply.as_ref().map(|reply| reply.to_vec());
        }
        Transition::Failed {
            step,
            item,
            operation,
            attempt,
            failure,
            doubtful,
            sequel,
        } => {
            let kind = match sequel {
                Sequel::Again { at } => {
                    row.due_at_us = Some(*at);
                    Kind::FailedAgain
                }
                // Whoever reads it has a newer epoch.
                Sequel::Disputed { at } => {
                    row.due_at_us = Some(*at);
                    Kind::FailedAgain
                }
                Sequel::Refused => Kind::FailedRefused,
                Sequel::GivenUp => Kind::FailedGivenUp,
                Sequel::Parked => Kind::FailedParked,
            };
            row.explain(definition, failure);
            row.at(kind, *step, *item);
            row.tried(*operation, *attempt);
            row.doubtful = *doubtful;
        }
        Transition::TurnedBack { failure } => {
            row.kind = Kind::TurnedBack;
            row.explain(definition, failure);
        }
        Transition::Parked { failure } => {
            row.kind = Kind::Parked;
            row.explain(definition, failure);
        }
        Transition::Cancelled { by, reason } => row.by(Kind::Cancelled, by, reason),
        Transition::Retried { by, reason } => row.by(Kind::Retried, by, reason),
        Transition::Overridden {
            by,
            reason,
            step,
            item,
            operation,
            verdict,
        } => {
            row.by(Kind::StepSkipped, by, reason);
            row.tried(*operation, 0);
            let kind = match verdict {
                Verdict::Skipped => Kind::StepSkipped,
                Verdict::Done(reply) => {
                    row.reply = reply.as_ref().map(|reply| reply.to_vec());
                    Kind::StepDone
                }
                Verdict::Failed(failure) => {
                    // The message column holds the operator's reason.
                    row.code = Some(failure.reason.clone());
                    row.reason = Some(failure.message.clone());
                    Kind::StepFailed
                }
            };
            row.at(kind, *step, *item);
        }
        Transition::Signalled {
            by,
            reason,
            signal,
            id,
            payload,
        } => {
            row.by(Kind::Signalled, by, reason);
            row.code = Some(signal.to_string());
            row.reason = Some(id.clone());
            row.reply = Some(payload.to_vec());
        }
        Transition::Completed => row.kind = Kind::Completed,
        Transition::Compensated => row.kind = Kind::Compensated,
    }
    row
}

fn blank(writing: Writing, number: i32) -> Model {
    Model {
        saga_id: writing.saga,
        number,
        at_us: writing.at,
        epoch: writing.epoch,
        kind: Kind::Passed,
        step: None,
        item: None,
        undoing: false,
        attempt: 0,
        reply: None,
        code: None,
        reason: None,
        message: None,
        doubtful: false,
        due_at_us: None,
        actor: None,
    }
}

impl Model {
    fn at(&mut self, kind: Kind, step: usize, item: Option<u32>) {
        self.kind = kind;
        self.step = i32::try_from(step).ok();
        self.item = item.and_then(|item| i32::try_from(item).ok());
    }

    fn tried(&mut self, operation: Operation, attempt: u32) {
        self.undoing = operation == Operation::Compensation;
        self.attempt = i32::try_from(attempt).unwrap_or(i32::MAX);
    }

    fn explain(&mut self, definition: &Definition, failure: &Failure) {
        self.step = definition
            .step(&failure.step)
            .and_then(|step| i32::try_from(step).ok());
        self.code = Some(failure.code.clone());
        self.reason = Some(failure.reason.clone());
        self.message = Some(failure.message.clone());
    }

    fn by(&mut self, kind: Kind, by: &str, reason: &str) {
        self.kind = kind;
        self.actor = Some(by.to_owned());
        self.message = Some(reason.to_owned());
    }
}

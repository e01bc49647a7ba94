//! A saga's log, and what its records tell.

use chassis::db::Error;
use prost::bytes::Bytes;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder};
use uuid::Uuid;

use super::entity::record::{Column, Entity, Kind, Model};
use crate::domain::{
    definition::Definition,
    saga,
    transition::{Failure, Operation, RESOLVED, Sequel, Transition, Verdict},
};

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
    let item = row.item.and_then(|item| u32::try_from(item).ok());
    let failed = |sequel| -> Result<Transition, Error> {
        let doubtful = row.doubtful;
        Ok(Transition::Failed {
            step: step()?,
            item,
            operation,
            attempt,
            failure: failure(),
            doubtful,
            sequel,
        })
    };
    let by = || row.actor.clone().unwrap_or_default();
    let reason = || row.message.clone().unwrap_or_default();
    let reply = || row.reply.clone().map(Bytes::from);
    let overridden = |verdict| -> Result<Transition, Error> {
        Ok(Transition::Overridden {
            by: by(),
            reason: reason(),
            step: step()?,
            item,
            operation,
            verdict,
        })
    };
    Ok(match row.kind {
        Kind::Passed => Transition::Passed { step: step()? },
        Kind::Skipped => Transition::Skipped { step: step()? },
        Kind::Fanned => Transition::Fanned {
            step: step()?,
            items: reply().unwrap_or_else(|| saga::blank_items(attempt as usize).into()),
        },
        Kind::Awaited => Transition::Awaited {
            step: step()?,
            until: row.due_at_us,
        },
        Kind::Received => Transition::Received {
            step: step()?,
            signal: attempt as usize,
        },
        Kind::Called => Transition::Called {
            step: step()?,
            item,
            at: row.at_us,
            operation,
            attempt,
        },
        Kind::Answered => Transition::Answered {
            step: step()?,
            item,
            operation,
            attempt,
            reply: reply(),
        },
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
        Kind::StepSkipped => overridden(Verdict::Skipped)?,
        Kind::StepDone => overridden(Verdict::Done(reply()))?,
        Kind::StepFailed => overridden(Verdict::Failed(Failure {
            code: RESOLVED.into(),
            reason: row.code.clone().unwrap_or_default(),
            message: row.reason.clone().unwrap_or_default(),
            ..failure()
        }))?,
        Kind::Signalled => Transition::Signalled {
            by: by(),
            reason: reason(),
            signal: row.code.as_deref().ok_or_else(corrupt)?.into(),
            id: row.reason.clone().ok_or_else(corrupt)?,
            payload: reply().unwrap_or_default(),
        },
        Kind::Completed => Transition::Completed,
        Kind::Compensated => Transition::Compensated,
    })
}

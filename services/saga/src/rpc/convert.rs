//! Rows and logs as the contract says them.

use chassis::clock::timestamp_us;
use contracts::caravan::saga::v1 as pb;
use uuid::Uuid;

use crate::{
    domain::saga::{Progress, Saga, State, StepRun},
    error::Error,
    store::entity::{
        record::{Kind, Model as Record},
        saga::{Model, State as Row},
    },
};

pub(super) fn saga_id(text: &str) -> Result<Uuid, Error> {
    text.parse()
        .map_err(|_| Error::invalid("sagaId", "is no UUID"))
}

/// A saga without its steps.
pub(super) fn saga(row: &Model) -> pb::Saga {
    let state = match row.state {
        Row::Running => pb::SagaState::Running,
        Row::Compensating => pb::SagaState::Compensating,
        Row::Completed => pb::SagaState::Completed,
        Row::Compensated => pb::SagaState::Compensated,
        Row::Parked => pb::SagaState::Parked,
    };
    let failure = row.failure_code.as_ref().map(|code| pb::Failure {
        step: row.failure_step.clone().unwrap_or_default(),
        code: code.clone(),
        reason: row.failure_reason.clone().unwrap_or_default(),
        message: row.failure_message.clone().unwrap_or_default(),
    });
    pb::Saga {
        saga_id: row.id.to_string(),
        definition: row.definition.clone(),
        version: row.version,
        key: row.key.clone(),
        state: state.into(),
        epoch: row.epoch,
        steps: Vec::new(),
        failure,
        create_time: Some(timestamp_us(row.created_at_us)),
        update_time: Some(timestamp_us(row.updated_at_us)),
        interventions: Vec::new(),
        current_steps: Vec::new(),
    }
}

pub(super) fn state(state: pb::SagaState) -> Option<State> {
    match state {
        pb::SagaState::Unspecified => None,
        pb::SagaState::Running => Some(State::Running),
        pb::SagaState::Compensating => Some(State::Compensating),
        pb::SagaState::Completed => Some(State::Completed),
        pb::SagaState::Compensated => Some(State::Compensated),
        pb::SagaState::Parked => Some(State::Parked),
    }
}

/// Every step with its attempts, in the order of the definition.
pub(super) fn steps(saga: &Saga, log: &[Record]) -> Vec<pb::StepRun> {
    let mut steps: Vec<_> = saga
        .definition()
        .steps
        .iter()
        .zip(saga.steps())
        .map(|(step, run)| pb::StepRun {
            name: step.name.to_string(),
            state: step_state(run).into(),
            attempts: Vec::new(),
            next_attempt_time: next_attempt(run).map(timestamp_us),
            ..pb::StepRun::default()
        })
        .collect();
    for record in log {
        let step = record
            .step
            .and_then(|step| usize::try_from(step).ok())
            .and_then(|step| steps.get_mut(step));
        if let Some(step) = step {
            note(&mut step.attempts, record);
        }
    }
    steps
}

fn note(attempts: &mut Vec<pb::Attempt>, record: &Record) {
    let operation = if record.undoing {
        pb::Operation::Compensation
    } else {
        pb::Operation::Action
    };
    let started = || pb::Attempt {
        operation: operation.into(),
        number: record.attempt,
        start_time: Some(timestamp_us(record.at_us)),
        ..pb::Attempt::default()
    };
    match record.kind {
        Kind::Called => attempts.push(started()),
        Kind::Passed
        | Kind::Answered
        | Kind::FailedAgain
        | Kind::FailedRefused
        | Kind::FailedGivenUp
        | Kind::FailedParked => {
            // Without a call (there is none, or its request could not be made) the outcome is all there is to show.
            let known = |attempt: &pb::Attempt| {
                attempt.operation() == operation && attempt.number == record.attempt
            };
            let place = attempts.iter().rposition(known).unwrap_or_else(|| {
                attempts.push(started());
                attempts.len() - 1
            });
            let attempt = &mut attempts[place];
            attempt.end_time = Some(timestamp_us(record.at_us));
            attempt.code = record.code.clone().unwrap_or_else(|| "OK".to_owned());
            attempt.reason = record.reason.clone().unwrap_or_default();
            attempt.message = record.message.clone().unwrap_or_default();
        }
        _ => {}
    }
}

fn step_state(run: &StepRun) -> pb::StepState {
    match (run.compensation.progress, run.action.progress) {
        (Progress::Calling | Progress::Due { .. }, _) => pb::StepState::Compensating,
        (Progress::Done, _) => pb::StepState::Compensated,
        (Progress::Parked, _) | (_, Progress::Parked) => pb::StepState::Parked,
        (_, Progress::Idle) => pb::StepState::Waiting,
        (_, Progress::Calling | Progress::Due { .. }) => pb::StepState::Running,
        (_, Progress::Done) => pb::StepState::Done,
        (_, Progress::Skipped) => pb::StepState::Skipped,
        (_, Progress::Refused | Progress::Unknown) => pb::StepState::Failed,
    }
}

fn next_attempt(run: &StepRun) -> Option<i64> {
    [run.compensation.progress, run.action.progress]
        .into_iter()
        .find_map(|progress| match progress {
            Progress::Due { at } if at > 0 => Some(at),
            _ => None,
        })
}

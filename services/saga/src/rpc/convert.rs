//! Rows and logs as the contract says them.

use chassis::clock::timestamp_us;
use contracts::{DESCRIPTOR_POOL, caravan::saga::v1 as pb};
use prost::{Message as _, bytes::Bytes};
use prost_reflect::{DynamicMessage, MessageDescriptor};
use uuid::Uuid;

use crate::{
    domain::{
        definition::Step,
        saga::{Progress, Run, Saga, State, StepRun, decode},
    },
    error::Error,
    events::interventions,
    store::{
        self,
        entity::{
            record::{Kind, Model as Record},
            saga::{Model, State as Row},
        },
    },
};

const STRUCT: &str = "google.protobuf.Struct";

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
        current_steps: row
            .current_steps
            .split(',')
            .filter(|step| !step.is_empty())
            .map(str::to_owned)
            .collect(),
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

/// What people and services did to it, oldest first.
pub(super) fn interventions(saga: &Saga, log: &[Record]) -> Result<Vec<pb::Intervention>, Error> {
    let definition = saga.definition();
    let mut interventions = Vec::new();
    for record in log.iter().filter(|record| record.actor.is_some()) {
        let transition = store::log::transition(record, definition)?;
        interventions.extend(interventions::of(
            &transition,
            &definition.steps,
            record.at_us,
        ));
    }
    Ok(interventions)
}

/// Which item a request means.
pub(super) fn item(item: Option<i32>) -> Option<u32> {
    item.and_then(|item| u32::try_from(item).ok())
}

/// JSON as the message that is wanted.
///
/// # Errors
/// It is none; `field` names what is at fault.
pub(super) fn message_of(
    json: prost_types::Struct,
    wanted: &MessageDescriptor,
    field: &str,
) -> Result<DynamicMessage, Error> {
    let encoded = Bytes::from(json.encode_to_vec());
    if wanted.full_name() == STRUCT {
        return decode(wanted, &encoded).map_err(Error::corrupt);
    }
    let structure = DESCRIPTOR_POOL
        .get_message_by_name(STRUCT)
        .expect("saga.proto imports it");
    let message = decode(&structure, &encoded).map_err(Error::corrupt)?;
    let invalid = |error: serde_json::Error| Error::invalid(field, error.to_string());
    let json = serde_json::to_value(&message).map_err(invalid)?;
    DynamicMessage::deserialize(wanted.clone(), json).map_err(invalid)
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
            after: step
                .after
                .iter()
                .map(|before| saga.definition().steps[*before].name.to_string())
                .collect(),
            signal: awaited(step, run).unwrap_or_default(),
            signal_deadline_time: match run.action.progress {
                Progress::Awaiting { until } => until.map(timestamp_us),
                _ => None,
            },
            items: run
                .items
                .iter()
                .flatten()
                .map(|item| state_of(&item.action, &item.compensation).into())
                .collect(),
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
        item: record.item,
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
                attempt.operation() == operation
                    && attempt.number == record.attempt
                    && attempt.item == record.item
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
    /// What a step with items shows: the first of these that any item shows.
    const LOUDEST_FIRST: [pb::StepState; 7] = [
        pb::StepState::Parked,
        pb::StepState::Compensating,
        pb::StepState::Running,
        pb::StepState::Failed,
        pb::StepState::Compensated,
        pb::StepState::Waiting,
        pb::StepState::Done,
    ];
    let Some(items) = run.items.as_ref().filter(|items| !items.is_empty()) else {
        return state_of(&run.action, &run.compensation);
    };
    let states: Vec<_> = items
        .iter()
        .map(|item| state_of(&item.action, &item.compensation))
        .collect();
    let loudest = LOUDEST_FIRST
        .into_iter()
        .find(|state| states.contains(state));
    loudest.unwrap_or(pb::StepState::Skipped)
}

fn state_of(action: &Run, compensation: &Run) -> pb::StepState {
    match (compensation.progress, action.progress) {
        (Progress::Calling | Progress::Due { .. }, _) => pb::StepState::Compensating,
        (Progress::Done, _) => pb::StepState::Compensated,
        (Progress::Parked, _) | (_, Progress::Parked) => pb::StepState::Parked,
        (_, Progress::Idle) => pb::StepState::Waiting,
        (_, Progress::Awaiting { .. }) => pb::StepState::AwaitingSignal,
        (_, Progress::Calling | Progress::Due { .. } | Progress::Disputed | Progress::Fanned) => {
            pb::StepState::Running
        }
        (_, Progress::Done) => pb::StepState::Done,
        (_, Progress::Skipped) => pb::StepState::Skipped,
        (_, Progress::Refused | Progress::Unknown) => pb::StepState::Failed,
    }
}

/// The signal that a step waits for now.
fn awaited(step: &Step, run: &StepRun) -> Option<String> {
    let waits = matches!(run.action.progress, Progress::Awaiting { .. });
    let wait = step.wait_for.as_ref().filter(|_| waits)?;
    Some(wait.signal.to_string())
}

fn next_attempt(run: &StepRun) -> Option<i64> {
    let due = run
        .units()
        .flat_map(|unit| [unit.compensation.progress, unit.action.progress]);
    due.filter_map(|progress| match progress {
        Progress::Due { at } if at > 0 => Some(at),
        _ => None,
    })
    .min()
}

//! Sagas to rows and back.

use std::collections::HashSet;

use chassis::{
    db::{Error, Tx},
    outbox::{self, Envelope},
};
use sea_orm::{
    ActiveEnum as _, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect,
    Statement, Value,
};
use uuid::Uuid;

use super::{
    chunks,
    entity::{
        record,
        saga::{Column, Entity, MAX_RESTS_AT, Model, State as Row},
    },
    records::{self, Writing},
};
use crate::domain::{
    Micros,
    saga::{Saga, State},
    transition::Transition,
};

/// Who holds a saga, by what right, and what is stored of it.
#[derive(Clone, Copy, Debug)]
pub struct Hold {
    /// The epoch of the claim.
    pub epoch: i64,
    /// Records stored.
    pub records: i32,
    /// When somebody else may claim it. Microseconds since 1970.
    pub lease_until: Micros,
}

/// What a change leaves behind beside the log.
#[derive(Clone, Copy, Debug)]
pub struct Next {
    /// The owner from now on; `None`: nobody.
    pub owner: Option<Uuid>,
    /// When somebody has to look at it; `None`: never.
    pub due_at: Option<Micros>,
}

/// What started a saga, for its row.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The definition's version.
    pub version: i32,
    /// The encoded event or input.
    pub input: Vec<u8>,
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// Request id.
    pub request_id: Option<String>,
}

/// One change of one saga, ready to be stored: its row, new records, and what others are told.
#[derive(Clone, Debug)]
pub struct Change {
    /// The row as it is to be. Of a change of a stored saga, what never changes is empty.
    row: Model,
    /// Epoch and number of records that the stored row must have; `None`: there must be none.
    expected: Option<(i64, i32)>,
    records: Vec<record::Model>,
    events: Vec<Envelope>,
}

impl Change {
    /// A new saga with its first records, in epoch 1.
    pub fn insert(
        saga: &Saga,
        origin: &Origin,
        transitions: &[Transition],
        events: Vec<Envelope>,
        next: Next,
    ) -> Self {
        let (epoch, records) = (1, 0);
        let mut change = Self::of(
            saga,
            (epoch, records),
            transitions,
            events,
            next,
            saga.created_at(),
        );
        let row = &mut change.row;
        row.definition.clone_from(&saga.definition().name);
        row.version = origin.version;
        row.key = saga.key().to_owned();
        row.input.clone_from(&origin.input);
        row.traceparent.clone_from(&origin.traceparent);
        row.request_id.clone_from(&origin.request_id);
        change
    }

    /// What happened to a stored saga. `epoch` becomes its epoch: the hold's own, or a newer one that fences the hold.
    pub fn save(
        saga: &Saga,
        (hold, epoch): (Hold, i64),
        transitions: &[Transition],
        events: Vec<Envelope>,
        next: Next,
        now: Micros,
    ) -> Self {
        Self {
            expected: Some((hold.epoch, hold.records)),
            ..Self::of(saga, (epoch, hold.records), transitions, events, next, now)
        }
    }

    fn of(
        saga: &Saga,
        (epoch, records): (i64, i32),
        transitions: &[Transition],
        events: Vec<Envelope>,
        next: Next,
        now: Micros,
    ) -> Self {
        let current_steps = current_steps(saga);
        let rests = next.owner.is_none() && !saga.state().is_final();
        let added = i32::try_from(transitions.len()).unwrap_or(i32::MAX);
        let failure = saga.failure();
        let writing = Writing {
            saga: saga.id(),
            epoch,
            records,
            at: now,
        };
        Self {
            row: Model {
                id: saga.id(),
                definition: String::new(),
                version: 0,
                key: String::new(),
                state: state_row(saga.state()),
                epoch,
                owner: next.owner,
                due_at_us: next.due_at,
                input: Vec::new(),
                erased: false,
                records: records.saturating_add(added),
                rests_at: rests.then(|| current_steps.chars().take(MAX_RESTS_AT).collect()),
                current_steps,
                failure_step: failure.map(|failure| failure.step.to_string()),
                failure_code: failure.map(|failure| failure.code.clone()),
                failure_reason: failure.map(|failure| failure.reason.clone()),
                failure_message: failure.map(|failure| failure.message.clone()),
                traceparent: None,
                request_id: None,
                created_at_us: now,
                updated_at_us: now,
                ended_at_us: saga.state().is_final().then_some(now),
            },
            expected: None,
            records: records::of(writing, saga.definition(), transitions),
            events,
        }
    }

    /// The saga.
    pub fn saga(&self) -> Uuid {
        self.row.id
    }

    /// Its new records.
    pub fn records(&self) -> &[record::Model] {
        &self.records
    }

    /// The row as it is to be; whole only of a new saga.
    pub fn row(&self) -> &Model {
        &self.row
    }
}

/// Stores changes of different sagas and answers whose were. Nothing is kept of the others: of a new saga whose key is
/// taken, and of one that somebody else has claimed or changed since.
///
/// # Errors
/// [`Error::Conflict`], and nothing is kept of any, where one of several was claimed or changed since; the database's own.
pub async fn store(tx: &Tx, changes: &[Change]) -> Result<HashSet<Uuid>, Error> {
    let (new, known): (Vec<_>, Vec<_>) =
        changes.iter().partition(|change| change.expected.is_none());
    let mut stored = HashSet::with_capacity(changes.len());
    insert(tx, &new, &mut stored).await?;
    update(tx, &known, &mut stored).await?;
    let (mut records, mut events) = (Vec::new(), Vec::new());
    for change in changes {
        if stored.contains(&change.row.id) {
            records.extend(&change.records);
            events.extend(&change.events);
        }
    }
    records::insert(tx, records).await?;
    outbox::append_all(tx, events).await?;
    Ok(stored)
}

async fn insert(tx: &Tx, changes: &[&Change], stored: &mut HashSet<Uuid>) -> Result<(), Error> {
    const COLUMNS: &str = "id, definition, version, key, state, epoch, owner, due_at_us, input, erased, records, \
                           current_steps, failure_step, failure_code, failure_reason, failure_message, traceparent, \
                           request_id, created_at_us, updated_at_us, rests_at, ended_at_us";
    let backend = tx.get_database_backend();
    let mut changes = changes.iter();
    for size in chunks::sizes(changes.len()) {
        // Not a caught error: PostgreSQL would give up the whole unit of work.
        let sql = format!(
            "INSERT INTO sagas ({COLUMNS}) VALUES {} ON CONFLICT (key, definition) DO NOTHING RETURNING id",
            chunks::tuples(backend, size, 22)
        );
        let values = changes.by_ref().take(size).flat_map(|change| {
            let row = change.row.clone();
            [
                row.id.into(),
                row.definition.into(),
                row.version.into(),
                row.key.into(),
                row.state.to_value().into(),
                row.epoch.into(),
                row.owner.into(),
                row.due_at_us.into(),
                row.input.into(),
                row.erased.into(),
                row.records.into(),
                row.current_steps.into(),
                row.failure_step.into(),
                row.failure_code.into(),
                row.failure_reason.into(),
                row.failure_message.into(),
                row.traceparent.into(),
                row.request_id.into(),
                row.created_at_us.into(),
                row.updated_at_us.into(),
                row.rests_at.into(),
                row.ended_at_us.into(),
            ]
        });
        run(tx, &sql, values, stored).await?;
    }
    Ok(())
}

async fn update(tx: &Tx, changes: &[&Change], stored: &mut HashSet<Uuid>) -> Result<(), Error> {
    const COLUMNS: &str = "id, epoch, records, new_epoch, new_records, state, owner, due_at_us, current_steps, \
                           failure_step, failure_code, failure_reason, failure_message, updated_at_us, rests_at, \
                           ended_at_us";
    let backend = tx.get_database_backend();
    let mut rest = changes;
    for size in chunks::sizes(changes.len()) {
        let (these, others) = rest.split_at(size);
        rest = others;
        let sql = format!(
            "WITH next ({COLUMNS}) AS (VALUES {}) \
             UPDATE sagas SET state = next.state, epoch = next.new_epoch, owner = next.owner, \
             due_at_us = next.due_at_us, records = next.new_records, current_steps = next.current_steps, \
             failure_step = next.failure_step, failure_code = next.failure_code, \
             failure_reason = next.failure_reason, failure_message = next.failure_message, \
             updated_at_us = next.updated_at_us, rests_at = next.rests_at, ended_at_us = next.ended_at_us FROM next \
             WHERE sagas.id = next.id AND sagas.epoch = next.epoch AND sagas.records = next.records",
            chunks::tuples(backend, size, 16)
        );
        let values = these.iter().flat_map(|change| {
            let row = change.row.clone();
            let (epoch, records) = change.expected.unwrap_or_default();
            [
                row.id.into(),
                epoch.into(),
                records.into(),
                row.epoch.into(),
                row.records.into(),
                row.state.to_value().into(),
                row.owner.into(),
                row.due_at_us.into(),
                row.current_steps.into(),
                row.failure_step.into(),
                row.failure_code.into(),
                row.failure_reason.into(),
                row.failure_message.into(),
                row.updated_at_us.into(),
                row.rests_at.into(),
                row.ended_at_us.into(),
            ]
        });
        let statement = Statement::from_sql_and_values(backend, sql, values);
        let updated = tx.execute_raw(statement).await?.rows_affected();
        if updated == size as u64 {
            stored.extend(these.iter().map(|change| change.row.id));
        } else if size > 1 {
            // Which of them lost its saga shows when each is stored by itself.
            return Err(Error::Conflict);
        }
    }
    Ok(())
}

async fn run(
    tx: &Tx,
    sql: &str,
    values: impl Iterator<Item = Value>,
    stored: &mut HashSet<Uuid>,
) -> Result<(), Error> {
    let statement = Statement::from_sql_and_values(tx.get_database_backend(), sql, values);
    for row in tx.query_all_raw(statement).await? {
        stored.insert(row.try_get_by_index(0)?);
    }
    Ok(())
}

/// A comma stands before and after each, so that one can be looked for.
fn current_steps(saga: &Saga) -> String {
    let mut text = String::new();
    for step in saga.current_steps() {
        if text.is_empty() {
            text.push(',');
        }
        text.push_str(step);
        text.push(',');
    }
    text
}

/// The row of a saga.
///
/// # Errors
/// The database's own.
pub async fn find(db: &impl ConnectionTrait, id: Uuid) -> Result<Option<Model>, Error> {
    Ok(Entity::find_by_id(id).one(db).await?)
}

/// Epoch and records of a saga: what changes with every change of it.
///
/// # Errors
/// The database's own.
pub async fn version(db: &impl ConnectionTrait, id: Uuid) -> Result<Option<(i64, i32)>, Error> {
    let query = Entity::find_by_id(id)
        .select_only()
        .columns([Column::Epoch, Column::Records]);
    Ok(query.into_tuple().one(db).await?)
}

/// The row of a definition's saga with this key.
///
/// # Errors
/// The database's own.
pub async fn find_by_key(
    db: &impl ConnectionTrait,
    definition: &str,
    key: &str,
) -> Result<Option<Model>, Error> {
    let query = Entity::find()
        .filter(Column::Definition.eq(definition))
        .filter(Column::Key.eq(key));
    Ok(query.one(db).await?)
}

/// A state as its row says it.
pub fn state_row(state: State) -> Row {
    match state {
        State::Running => Row::Running,
        State::Compensating => Row::Compensating,
        State::Completed => Row::Completed,
        State::Compensated => Row::Compensated,
        State::Parked => Row::Parked,
    }
}

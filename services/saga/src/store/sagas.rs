//! Sagas to rows and back.

use chassis::db::{Error, Tx};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, OnConflict},
};
use uuid::Uuid;

use super::{
    entity::saga::{ActiveModel, Column, Entity, Model, State as Row},
    log,
};
use crate::domain::{
    Micros,
    saga::{Saga, State},
    transition::{Failure, Transition},
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

/// Stores a new saga with its first records, in epoch 1. False, and nothing is stored, where its key is taken.
///
/// # Errors
/// The database's own.
pub async fn insert(
    tx: &Tx,
    saga: &Saga,
    origin: &Origin,
    transitions: &[Transition],
    next: Next,
    now: Micros,
) -> Result<bool, Error> {
    let failure = saga.failure();
    let row = ActiveModel {
        id: Set(saga.id()),
        definition: Set(saga.definition().name.clone()),
        version: Set(origin.version),
        key: Set(saga.key().to_owned()),
        state: Set(state_row(saga.state())),
        epoch: Set(1),
        owner: Set(next.owner),
        due_at_us: Set(next.due_at),
        input: Set(origin.input.clone()),
        records: Set(i32::try_from(transitions.len()).unwrap_or(i32::MAX)),
        failure_step: Set(failure.map(|failure| failure.step.to_string())),
        failure_code: Set(failure.map(|failure| failure.code.clone())),
        failure_reason: Set(failure.map(|failure| failure.reason.clone())),
        failure_message: Set(failure.map(|failure| failure.message.clone())),
        traceparent: Set(origin.traceparent.clone()),
        request_id: Set(origin.request_id.clone()),
        created_at_us: Set(now),
        updated_at_us: Set(now),
    };
    // Not a caught error: PostgreSQL would give up the whole unit of work.
    let skip_taken = OnConflict::columns([Column::Definition, Column::Key])
        .do_nothing()
        .to_owned();
    if Entity::insert(row)
        .on_conflict(skip_taken)
        .exec_without_returning(tx)
        .await?
        == 0
    {
        return Ok(false);
    }
    let writing = log::Writing {
        saga: saga.id(),
        epoch: 1,
        records: 0,
        at: now,
    };
    log::append(tx, writing, saga.definition(), transitions).await?;
    Ok(true)
}

/// Stores what happened to a saga. `epoch` becomes its epoch: the hold's own, or a newer one that fences the hold.
///
/// # Errors
/// [`Error::Conflict`] where somebody else has claimed or changed it since: nothing of this may be kept.
pub async fn save(
    tx: &Tx,
    saga: &Saga,
    (hold, epoch): (Hold, i64),
    transitions: &[Transition],
    next: Next,
    now: Micros,
) -> Result<(), Error> {
    let added = i32::try_from(transitions.len()).unwrap_or(i32::MAX);
    let failure = saga.failure();
    let text = |of: fn(&Failure) -> String| Expr::value(failure.map(of));
    let saved = Entity::update_many()
        .col_expr(Column::State, Expr::value(state_row(saga.state())))
        .col_expr(Column::Epoch, Expr::value(epoch))
        .col_expr(Column::Owner, Expr::value(next.owner))
        .col_expr(Column::DueAtUs, Expr::value(next.due_at))
        .col_expr(
            Column::Records,
            Expr::value(hold.records.saturating_add(added)),
        )
        .col_expr(
            Column::FailureStep,
            text(|failure| failure.step.to_string()),
        )
        .col_expr(Column::FailureCode, text(|failure| failure.code.clone()))
        .col_expr(
            Column::FailureReason,
            text(|failure| failure.reason.clone()),
        )
        .col_expr(
            Column::FailureMessage,
            text(|failure| failure.message.clone()),
        )
        .col_expr(Column::UpdatedAtUs, Expr::value(now))
        .filter(Column::Id.eq(saga.id()))
        .filter(Column::Epoch.eq(hold.epoch))
        .filter(Column::Records.eq(hold.records))
        .exec(tx)
        .await?;
    if saved.rows_affected != 1 {
        return Err(Error::Conflict);
    }
    let writing = log::Writing {
        saga: saga.id(),
        epoch,
        records: hold.records,
        at: now,
    };
    log::append(tx, writing, saga.definition(), transitions).await
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

/// Which sagas to list; empty fields admit all.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// By definition.
    pub definition: Option<String>,
    /// By state.
    pub state: Option<State>,
    /// By key.
    pub key: Option<String>,
    /// Older than this one.
    pub before: Option<Uuid>,
}

/// Up to `limit` sagas, newest first.
///
/// # Errors
/// The database's own.
pub async fn list(
    db: &impl ConnectionTrait,
    filter: &Filter,
    limit: u64,
) -> Result<Vec<Model>, Error> {
    let mut query = Entity::find();
    if let Some(definition) = &filter.definition {
        query = query.filter(Column::Definition.eq(definition));
    }
    if let Some(state) = filter.state {
        query = query.filter(Column::State.eq(state_row(state)));
        if state != State::Completed {
            // Says so in the words of the partial index.
            query = query.filter(Column::State.ne(Row::Completed));
        }
    }
    if let Some(key) = &filter.key {
        query = query.filter(Column::Key.eq(key));
    }
    if let Some(before) = filter.before {
        query = query.filter(Column::Id.lt(before));
    }
    Ok(query.order_by_desc(Column::Id).limit(limit).all(db).await?)
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

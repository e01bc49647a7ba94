//! Sagas by what operators ask for. Every question is answered from one place of an index, however many sagas there are.
//!
//! A query names that place by comparing whole keys, so that no planner takes another way because of what it believes
//! of the rows.

use std::cmp::Reverse;

use chassis::db::Error;
use sea_orm::{
    ActiveEnum as _, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect, Select, Value,
    sea_query::{Expr, ExprTrait as _, LikeExpr, SimpleExpr},
};
use uuid::Uuid;

use super::{
    definitions,
    entity::saga::{Column, Entity, MAX_RESTS_AT, Model, State},
};

/// Most places at which sagas are looked for.
const MAX_PLACES: usize = 1_000;
const STATES: [State; 5] = [
    State::Running,
    State::Compensating,
    State::Parked,
    State::Completed,
    State::Compensated,
];
/// Keys of the index `sagas_by_state`.
const BY_STATE: [Column; 3] = [Column::Definition, Column::State, Column::Id];
/// Keys of the index `sagas_resting`.
const RESTING: [Column; 4] = [
    Column::Definition,
    Column::State,
    Column::RestsAt,
    Column::Id,
];

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
    /// Not older than this one.
    pub from: Option<Uuid>,
    /// Standing at this step.
    pub step: Option<String>,
}

/// Where some sagas rest: definition, state, and the steps that hold them up.
type Place = (String, State, String);

/// Up to `limit` sagas, newest first.
///
/// # Errors
/// The database's own.
pub async fn list(
    db: &impl ConnectionTrait,
    filter: &Filter,
    limit: u64,
) -> Result<Vec<Model>, Error> {
    let Filter {
        definition,
        state,
        key,
        step,
        ..
    } = filter;
    let mut ids = match (key, step) {
        // At most one of each definition.
        (Some(key), _) => {
            let mut query = filter.narrow(filter.in_time().filter(Column::Key.eq(key)));
            if let Some(step) = step {
                query = query.filter(stands_at(step));
            }
            return Ok(query.order_by_desc(Column::Id).limit(limit).all(db).await?);
        }
        (None, Some(step)) => filter.at_step(db, step, limit).await?,
        (None, None) if definition.is_none() && state.is_none() => {
            let query = filter.in_time().order_by_desc(Column::Id);
            return Ok(query.limit(limit).all(db).await?);
        }
        (None, None) => filter.by_state(db, limit).await?,
    };
    // One that changed in between may be found at two places.
    ids.sort_unstable_by_key(|id| Reverse(*id));
    ids.dedup();
    ids.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let query = Entity::find().filter(Column::Id.is_in(ids));
    let mut rows = query.all(db).await?;
    rows.sort_unstable_by_key(|row| Reverse(row.id));
    Ok(rows)
}

/// When the oldest saga of a definition in a state began; `None` where there is none. Microseconds since 1970.
///
/// # Errors
/// The database's own.
pub async fn oldest(
    db: &impl ConnectionTrait,
    definition: &str,
    state: State,
) -> Result<Option<i64>, Error> {
    let first = key_of_state(definition, state, Uuid::nil());
    let query = Entity::find()
        .filter(columns(&BY_STATE).gte(first))
        .filter(columns(&BY_STATE).lt(key_of_state(definition, state, Uuid::max())))
        .select_only()
        .column(Column::CreatedAtUs);
    Ok(in_order(query, &BY_STATE).into_tuple().one(db).await?)
}

impl Filter {
    /// The newest of each definition and state.
    async fn by_state(&self, db: &impl ConnectionTrait, limit: u64) -> Result<Vec<Uuid>, Error> {
        let definitions = match &self.definition {
            Some(definition) => vec![definition.clone()],
            None => {
                let known = definitions::all_newest(db).await?.into_iter();
                known.map(|(name, _)| name).collect()
            }
        };
        let mut ids: Vec<Uuid> = Vec::new();
        for definition in &definitions {
            for state in STATES.into_iter().filter(|state| self.admits(*state)) {
                let key = |id| key_of_state(definition, state, id);
                let query = self.newest(&BY_STATE, key, limit);
                ids.extend(query.into_tuple::<Uuid>().all(db).await?);
            }
        }
        Ok(ids)
    }

    /// The newest of each place that has to do with a step, and what is being worked on.
    async fn at_step(
        &self,
        db: &impl ConnectionTrait,
        step: &str,
        limit: u64,
    ) -> Result<Vec<Uuid>, Error> {
        // Orchestrators work on a bounded number of sagas: all of them are looked at.
        let owned: Vec<(Uuid, String, State)> = Entity::find()
            .filter(Column::Owner.is_not_null())
            .filter(stands_at(step))
            .select_only()
            .columns([Column::Id, Column::Definition, Column::State])
            .into_tuple()
            .all(db)
            .await?;
        let wanted = owned.into_iter().filter(|(id, definition, state)| {
            let named = self.definition.as_ref();
            named.is_none_or(|name| name == definition)
                && self.admits(*state)
                && self.before.is_none_or(|before| *id < before)
                && self.from.is_none_or(|from| *id >= from)
        });
        let mut ids: Vec<Uuid> = wanted.map(|(id, ..)| id).collect();
        for (definition, state, steps) in self.places(db).await? {
            let is_cut = steps.len() >= MAX_RESTS_AT;
            if !self.admits(state) || !is_cut && !steps.contains(&format!(",{step},")) {
                continue;
            }
            let key = |id: Uuid| {
                let (definition, steps) = (definition.as_str().into(), steps.as_str().into());
                key([definition, state.to_value().into(), steps, id.into()])
            };
            let mut query = self.newest(&RESTING, key, limit);
            query = query.filter(Column::RestsAt.is_not_null());
            if is_cut {
                query = query.filter(stands_at(step));
            }
            ids.extend(query.into_tuple::<Uuid>().all(db).await?);
        }
        Ok(ids)
    }

    /// Where sagas rest: each place once, from one to the next.
    async fn places(&self, db: &impl ConnectionTrait) -> Result<Vec<Place>, Error> {
        let mut places: Vec<Place> = Vec::new();
        // Nothing comes before the first: no state has this name.
        let start = self.definition.as_deref().unwrap_or_default();
        let mut after = key([start.into(), "".into(), "".into()]);
        while places.len() < MAX_PLACES {
            let query = Entity::find()
                .filter(Column::RestsAt.is_not_null())
                .filter(columns(&RESTING[..3]).gt(after))
                .select_only()
                .columns([Column::Definition, Column::State, Column::RestsAt]);
            let next: Option<Place> = in_order(query, &RESTING).into_tuple().one(db).await?;
            let here = |place: &Place| self.definition.as_ref().is_none_or(|name| *name == place.0);
            let Some(place) = next.filter(here) else {
                break;
            };
            let (definition, state, steps) = &place;
            after = key([
                definition.as_str().into(),
                state.to_value().into(),
                steps.as_str().into(),
            ]);
            places.push(place);
        }
        Ok(places)
    }

    fn admits(&self, state: State) -> bool {
        self.state.is_none_or(|wanted| wanted == state)
    }

    fn narrow(&self, mut query: Select<Entity>) -> Select<Entity> {
        if let Some(definition) = &self.definition {
            query = query.filter(Column::Definition.eq(definition));
        }
        if let Some(state) = self.state {
            query = query.filter(Column::State.eq(state));
        }
        query
    }

    fn in_time(&self) -> Select<Entity> {
        let mut query = Entity::find();
        if let Some(before) = self.before {
            query = query.filter(Column::Id.lt(before));
        }
        if let Some(from) = self.from {
            query = query.filter(Column::Id.gte(from));
        }
        query
    }

    /// Ids at one place of an index, newest first; `key` names it for an id.
    fn newest(
        &self,
        index: &[Column],
        key: impl Fn(Uuid) -> SimpleExpr,
        limit: u64,
    ) -> Select<Entity> {
        let (from, before) = (self.from.unwrap_or(Uuid::nil()), self.before);
        let mut query = Entity::find()
            .filter(columns(index).gte(key(from)))
            .filter(columns(index).lt(key(before.unwrap_or(Uuid::max()))))
            .select_only()
            .column(Column::Id);
        for column in index {
            query = query.order_by_desc(*column);
        }
        query.limit(limit)
    }
}

fn in_order(mut query: Select<Entity>, index: &[Column]) -> Select<Entity> {
    for column in index {
        query = query.order_by_asc(*column);
    }
    query
}

fn columns(index: &[Column]) -> SimpleExpr {
    Expr::tuple(index.iter().map(|column| Expr::col((Entity, *column))))
}

fn key<const N: usize>(values: [Value; N]) -> SimpleExpr {
    Expr::tuple(values.map(Expr::value))
}

fn key_of_state(definition: &str, state: State, id: Uuid) -> SimpleExpr {
    key([definition.into(), state.to_value().into(), id.into()])
}

fn stands_at(step: &str) -> SimpleExpr {
    let named = LikeExpr::new(format!("%,{},%", step.replace('_', r"\_"))).escape('\\');
    Column::CurrentSteps.like(named)
}

//! Sagas by what operators ask for. Every question is answered from an index, however many sagas there are.

use std::cmp::Reverse;

use chassis::db::Error;
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select,
    sea_query::{Expr, ExprTrait as _, LikeExpr, SimpleExpr},
};
use uuid::Uuid;

use super::{
    definitions,
    entity::saga::{Column, Entity, Model, State},
};

/// In the words of the index `sagas_resting`.
pub(super) const RESTING: &str =
    "owner IS NULL AND state <> 'completed' AND state <> 'compensated'";
/// The names of steps as far as that index has them.
const STEPS: &str = "substr(current_steps, 1, 200)";
/// How far that is, in characters.
const STEPS_LENGTH: usize = 200;
/// Most places, of one definition and state, at which sagas are looked for.
const MAX_PLACES: usize = 1_000;
/// States in which a saga stands at a step.
const OPEN: [State; 3] = [State::Running, State::Compensating, State::Parked];
const ALL: [State; 5] = [
    State::Running,
    State::Compensating,
    State::Parked,
    State::Completed,
    State::Compensated,
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

/// Up to `limit` sagas, newest first.
///
/// # Errors
/// The database's own.
pub async fn list(
    db: &impl ConnectionTrait,
    filter: &Filter,
    limit: u64,
) -> Result<Vec<Model>, Error> {
    let mut ids = match filter {
        Filter { key: Some(key), .. } => {
            // At most one of each definition.
            let mut query = filter.in_time(Entity::find().filter(Column::Key.eq(key)));
            if let Some(definition) = &filter.definition {
                query = query.filter(Column::Definition.eq(definition));
            }
            if let Some(state) = filter.state {
                query = query.filter(Column::State.eq(state));
            }
            if let Some(step) = &filter.step {
                query = query.filter(stands_at(step));
            }
            return Ok(query.order_by_desc(Column::Id).limit(limit).all(db).await?);
        }
        Filter {
            step: Some(step), ..
        } => filter.at_step(db, step, limit).await?,
        Filter {
            definition: None,
            state: None,
            ..
        } => {
            let query = filter.in_time(Entity::find());
            return Ok(query.order_by_desc(Column::Id).limit(limit).all(db).await?);
        }
        _ => filter.by_state(db, limit).await?,
    };
    ids.sort_unstable_by_key(|id| Reverse(*id));
    ids.dedup();
    ids.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let query = Entity::find().filter(Column::Id.is_in(ids));
    let mut rows = query.all(db).await?;
    rows.sort_unstable_by_key(|row| Reverse(row.id));
    Ok(rows)
}

impl Filter {
    /// The newest of each definition and state.
    async fn by_state(&self, db: &impl ConnectionTrait, limit: u64) -> Result<Vec<Uuid>, Error> {
        let mut ids = Vec::new();
        for definition in self.definitions(db).await? {
            for state in self.states(&ALL) {
                let query = Entity::find()
                    .filter(Column::Definition.eq(&definition))
                    .filter(Column::State.eq(*state));
                ids.extend(self.newest(db, query, limit).await?);
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
        let mut owned = Entity::find()
            .filter(Column::Owner.is_not_null())
            .filter(stands_at(step));
        if let Some(definition) = &self.definition {
            owned = owned.filter(Column::Definition.eq(definition));
        }
        if let Some(state) = self.state {
            owned = owned.filter(Column::State.eq(state));
        }
        let mut ids = self.newest(db, owned, limit).await?;
        for definition in self.definitions(db).await? {
            for state in self
                .states(&OPEN)
                .iter()
                .filter(|state| OPEN.contains(state))
            {
                for place in places(db, &definition, *state).await? {
                    let is_cut = place.chars().count() >= STEPS_LENGTH;
                    if !is_cut && !place.contains(&format!(",{step},")) {
                        continue;
                    }
                    let mut query =
                        resting(&definition, *state).filter(Expr::cust(STEPS).eq(place));
                    if is_cut {
                        query = query.filter(stands_at(step));
                    }
                    ids.extend(self.newest(db, query, limit).await?);
                }
            }
        }
        Ok(ids)
    }

    async fn definitions(&self, db: &impl ConnectionTrait) -> Result<Vec<String>, Error> {
        if let Some(definition) = &self.definition {
            return Ok(vec![definition.clone()]);
        }
        let known = definitions::all_newest(db).await?;
        Ok(known.into_iter().map(|(name, _)| name).collect())
    }

    fn states<'a>(&'a self, all: &'a [State]) -> &'a [State] {
        self.state.as_ref().map_or(all, std::slice::from_ref)
    }

    fn in_time(&self, mut query: Select<Entity>) -> Select<Entity> {
        if let Some(before) = self.before {
            query = query.filter(Column::Id.lt(before));
        }
        if let Some(from) = self.from {
            query = query.filter(Column::Id.gte(from));
        }
        query
    }

    async fn newest(
        &self,
        db: &impl ConnectionTrait,
        query: Select<Entity>,
        limit: u64,
    ) -> Result<Vec<Uuid>, Error> {
        let query = self.in_time(query).select_only().column(Column::Id);
        let query = query.order_by_desc(Column::Id).limit(limit);
        Ok(query.into_tuple().all(db).await?)
    }
}

/// Where sagas of a definition rest in a state: each text of steps once, from one to the next by the index.
async fn places(
    db: &impl ConnectionTrait,
    definition: &str,
    state: State,
) -> Result<Vec<String>, Error> {
    let mut places: Vec<String> = Vec::new();
    while places.len() < MAX_PLACES {
        // Nothing comes before the first comma.
        let last = places.last().map_or("", String::as_str);
        let next: Option<String> = resting(definition, state)
            .select_only()
            .column_as(Expr::cust(STEPS), "steps")
            .filter(Expr::cust(STEPS).gt(last))
            .order_by_asc(Expr::cust(STEPS))
            .limit(1)
            .into_tuple()
            .one(db)
            .await?;
        match next {
            Some(next) => places.push(next),
            None => break,
        }
    }
    Ok(places)
}

fn resting(definition: &str, state: State) -> Select<Entity> {
    Entity::find()
        .filter(Expr::cust(RESTING))
        .filter(Column::Definition.eq(definition))
        .filter(Column::State.eq(state))
}

fn stands_at(step: &str) -> SimpleExpr {
    let named = LikeExpr::new(format!("%,{},%", step.replace('_', r"\_"))).escape('\\');
    Column::CurrentSteps.like(named)
}

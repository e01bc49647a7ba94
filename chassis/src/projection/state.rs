//! Which generation of a projection is read, and which one is being built.

use sea_orm::{ConnectionTrait, FromQueryResult, Statement, Value};

use crate::db::{Db, Error};

/// The generations of a projection.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub(crate) struct State {
    pub(crate) projection: String,
    /// The one that is read.
    pub(crate) serving: i64,
    /// The one that is being built.
    pub(crate) building: Option<i64>,
}

/// The generation of a projection that is read; 1 before there is any.
///
/// # Errors
/// The database's own.
pub async fn serving(connection: &impl ConnectionTrait, projection: &str) -> Result<i64, Error> {
    let state = get(connection, projection).await?;
    Ok(state.map_or(1, |state| state.serving))
}

/// Every projection.
///
/// # Errors
/// The database's own.
pub(crate) async fn all(connection: &impl ConnectionTrait) -> Result<Vec<State>, Error> {
    let statement = Statement::from_string(
        connection.get_database_backend(),
        "SELECT projection, serving, building FROM projections ORDER BY projection",
    );
    Ok(State::find_by_statement(statement).all(connection).await?)
}

async fn get(connection: &impl ConnectionTrait, projection: &str) -> Result<Option<State>, Error> {
    let statement = Statement::from_sql_and_values(
        connection.get_database_backend(),
        "SELECT projection, serving, building FROM projections WHERE projection = $1",
        [projection.into()],
    );
    Ok(State::find_by_statement(statement).one(connection).await?)
}

/// The generations of a projection, which is noted where it is new.
///
/// # Errors
/// The database's own.
pub(super) async fn ensure(db: &Db, projection: &str) -> Result<State, Error> {
    if let Some(state) = get(db.read(), projection).await? {
        return Ok(state);
    }
    let sql = "INSERT INTO projections (projection, serving) VALUES ($1, 1) ON CONFLICT DO NOTHING";
    change(db, sql, vec![projection.into()]).await?;
    get(db.read(), projection)
        .await?
        .ok_or_else(|| Error::Corrupt(format!("projection {projection} is gone")))
}

/// Begins to build a new generation; where one is being built already, that one. `None` where there is no such projection.
///
/// # Errors
/// The database's own.
pub async fn rebuild(db: &Db, projection: &str) -> Result<Option<i64>, Error> {
    let sql =
        "UPDATE projections SET building = serving + 1 WHERE projection = $1 AND building IS NULL";
    change(db, sql, vec![projection.into()]).await?;
    let state = get(db.read(), projection).await?;
    Ok(state.and_then(|state| state.building))
}

/// Lets the generation that was built be the one that is read. Whether it was this call that did so.
///
/// # Errors
/// The database's own.
pub(super) async fn switch(db: &Db, state: &State, built: i64) -> Result<bool, Error> {
    let sql = "UPDATE projections SET serving = $1, building = NULL WHERE projection = $2 AND building = $1";
    change(
        db,
        sql,
        vec![built.into(), state.projection.as_str().into()],
    )
    .await
}

/// Removes what is stored about a consumer that is no more.
///
/// # Errors
/// The database's own.
pub(super) async fn forget_consumer(db: &Db, durable: &str) -> Result<(), Error> {
    for table in ["inbox", "consumers", "dead_letters", "event_tries"] {
        let sql = format!("DELETE FROM {table} WHERE consumer = $1");
        change(db, &sql, vec![durable.into()]).await?;
    }
    Ok(())
}

async fn change(db: &Db, sql: &str, values: Vec<Value>) -> Result<bool, Error> {
    let values = &values;
    db.write(|tx| async move {
        let result = tx.execute_raw(tx.statement(sql, values.clone())).await?;
        Ok(result.rows_affected() > 0)
    })
    .await
}

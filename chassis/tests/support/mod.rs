//! A small service of the tests' own: one table of counters.

pub(crate) mod mesh;

use std::path::Path;

use chassis::db::{Db, Error, Tx};
use kit::{DatabaseUrl, Engine, database_url, wait::until};
use sea_orm::{ConnectionTrait, Statement};
use sea_orm_migration::prelude::*;

pub(crate) struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(Counters)]
    }
}

/// The schema of the next release.
pub(crate) struct NextMigrator;

#[async_trait::async_trait]
impl MigratorTrait for NextMigrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(Counters), Box::new(Later)]
    }
}

struct Later;

impl MigrationName for Later {
    fn name(&self) -> &str {
        "m0002_later"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Later {
    async fn up(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Ok(())
    }
}

struct Counters;

impl MigrationName for Counters {
    fn name(&self) -> &str {
        "m0001_counters"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Counters {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let sql = "CREATE TABLE counters (name TEXT PRIMARY KEY, value BIGINT NOT NULL)";
        manager
            .get_connection()
            .execute_unprepared(sql)
            .await
            .map(drop)
    }
}

/// A migrated database on `engine`; `None` where the engine is not there.
pub(crate) async fn database(engine: Engine) -> Option<(Db, DatabaseUrl)> {
    let url = database_url(engine)?;
    let db = Db::open::<Migrator>(&url)
        .await
        .expect("the database opens");
    Some((db, url))
}

/// Adds to a counter.
pub(crate) async fn add(tx: &Tx, name: &str, amount: i64) -> Result<(), Error> {
    let sql = "INSERT INTO counters (name, value) VALUES ($1, $2) \
               ON CONFLICT (name) DO UPDATE SET value = counters.value + excluded.value";
    let statement = Statement::from_sql_and_values(
        tx.get_database_backend(),
        sql,
        [name.into(), amount.into()],
    );
    tx.execute_raw(statement).await?;
    Ok(())
}

/// What a counter stands at; 0 where nothing was added.
pub(crate) async fn value(db: &Db, name: &str) -> i64 {
    number(
        db,
        "SELECT value AS n FROM counters WHERE name = $1",
        [name.into()],
    )
    .await
}

/// Waits until a counter stands at `wanted`.
pub(crate) async fn reaches(db: &Db, name: &str, wanted: i64) {
    until(name, || async {
        match value(db, name).await {
            found if found == wanted => Ok(()),
            found => Err(found),
        }
    })
    .await;
}

/// Waits until the relay has noted all events as sent.
pub(crate) async fn all_sent(db: &Db) {
    until("all rows are marked as sent", || async {
        let sql = "SELECT COUNT(*) AS n FROM outbox WHERE sent_at_us IS NULL";
        match number(db, sql, []).await {
            0 => Ok(()),
            left => Err(left),
        }
    })
    .await;
}

/// As [`value`], of a database that may be away.
pub(crate) async fn try_value(db: &Db, name: &str) -> Result<i64, DbErr> {
    let statement = Statement::from_sql_and_values(
        db.read().get_database_backend(),
        "SELECT value AS n FROM counters WHERE name = $1",
        [name.into()],
    );
    let row = db.read().query_one_raw(statement).await?;
    row.map_or(Ok(0), |row| row.try_get("", "n"))
}

/// The `n` of a query's first row; 0 where there is none.
pub(crate) async fn number(db: &Db, sql: &str, values: impl IntoIterator<Item = Value>) -> i64 {
    let statement = Statement::from_sql_and_values(db.read().get_database_backend(), sql, values);
    let row = db
        .read()
        .query_one_raw(statement)
        .await
        .expect("the query works");
    row.map_or(0, |row| row.try_get("", "n").expect("a number"))
}

/// Copies a folder with all that is in it over another one.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("readable") {
        let entry = entry.expect("readable");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}

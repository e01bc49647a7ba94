//! A service of the benchmark's own: accounts with a balance, and the entries that make it up.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use chassis::db::{Db, Error, Tx};
use sea_orm::{ConnectionTrait, DbErr, Statement, Value};
use sea_orm_migration::{
    MigrationName, MigrationTrait, MigratorTrait, SchemaManager, async_trait::async_trait,
};

/// Accounts that entries are spread over.
const ACCOUNTS: u64 = 1_000;
/// The statements of one unit of work.
pub(super) const ENTER: &str = "INSERT INTO entries (account, amount) VALUES ($1, $2)";
/// See [`ENTER`].
pub(super) const BALANCE: &str = "UPDATE accounts SET balance = balance + $2 WHERE id = $1";

struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(Tables)]
    }
}

struct Tables;

impl MigrationName for Tables {
    fn name(&self) -> &str {
        "m0001_accounts"
    }
}

#[async_trait]
impl MigrationTrait for Tables {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        let id = match connection.get_database_backend() {
            sea_orm::DbBackend::Postgres => "BIGSERIAL PRIMARY KEY",
            _ => "INTEGER PRIMARY KEY AUTOINCREMENT",
        };
        for sql in [
            "CREATE TABLE accounts (id BIGINT PRIMARY KEY, balance BIGINT NOT NULL)".to_owned(),
            format!(
                "CREATE TABLE entries (id {id}, account BIGINT NOT NULL, amount BIGINT NOT NULL)"
            ),
            format!(
                "INSERT INTO accounts (id, balance) WITH RECURSIVE n (id) AS \
                 (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < {ACCOUNTS}) SELECT id, 0 FROM n"
            ),
        ] {
            connection.execute_unprepared(&sql).await?;
        }
        Ok(())
    }
}

/// The database, with its tables.
pub(super) async fn open(url: &str) -> Db {
    Db::open::<Migrator>(url).await.expect("the database opens")
}

/// An account, another one each time.
pub(super) fn any_account() -> i64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    // Steps through all of them in a mixed order.
    (NEXT.fetch_add(1, Relaxed) * 389 % ACCOUNTS + 1) as i64
}

/// One entry and the balance that it changes.
pub(super) async fn enter(tx: &Tx, account: i64, amount: i64) -> Result<(), Error> {
    for sql in [ENTER, BALANCE] {
        let values: [Value; 2] = [account.into(), amount.into()];
        let statement = Statement::from_sql_and_values(tx.get_database_backend(), sql, values);
        tx.execute_raw(statement).await?;
    }
    Ok(())
}

/// The sum of all balances.
pub(super) async fn total(db: &Db) -> i64 {
    let connection = db.read();
    let sql = "SELECT CAST(SUM(balance) AS BIGINT) AS n FROM accounts";
    let statement = Statement::from_string(connection.get_database_backend(), sql);
    let row = connection.query_one_raw(statement).await;
    let row = row.expect("the query works").expect("a row");
    row.try_get("", "n").expect("a number")
}

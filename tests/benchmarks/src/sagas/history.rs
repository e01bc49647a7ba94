//! Sagas by the million: copies of one, made by the database itself.

use kit::Engine;
use sea_orm::{ConnectionTrait, Database, DatabaseConnection, Statement};

/// Copies made in one transaction: others write in between.
const BATCH: u64 = 50_000;

/// A way into the tables of the saga service.
pub(super) struct Tables {
    engine: Engine,
    database: DatabaseConnection,
}

impl Tables {
    pub(super) async fn open(engine: Engine, url: &str) -> Self {
        let database = Database::connect(url)
            .await
            .expect("the service's database");
        Self { engine, database }
    }

    /// Copies a saga with its log, with ids and keys of their own. `first` tells one set of copies from another.
    pub(super) async fn multiply(&self, saga: &str, first: u64, copies: u64) {
        let sagas = self.copying("sagas", "id", saga).await;
        let log = self.copying("saga_log", "saga_id", saga).await;
        for batch in (0..copies).step_by(BATCH as usize) {
            let from = first + batch;
            let to = first + (batch + BATCH).min(copies) - 1;
            for statement in [&sagas, &log] {
                self.run(
                    &statement
                        .replace("$from", &from.to_string())
                        .replace("$to", &to.to_string()),
                )
                .await;
            }
        }
        self.run("ANALYZE").await;
    }

    /// Says when the next attempt of a waiting saga is due, in microseconds since 1970: in its log and for the schedule.
    pub(super) async fn make_due(&self, saga: &str, at_us: i64) {
        let id = self.literal(saga);
        for (table, column) in [("saga_log", "saga_id"), ("sagas", "id")] {
            let sql = format!(
                "UPDATE {table} SET due_at_us = {at_us} WHERE {column} = {id} AND due_at_us IS NOT NULL"
            );
            self.run(&sql).await;
        }
    }

    /// A statement that copies the rows of a saga, once for each number from `$from` to `$to`.
    async fn copying(&self, table: &str, id: &str, saga: &str) -> String {
        let columns = self.columns(table).await;
        let values = columns.iter().map(|column| match column.as_str() {
            name if name == id => self.id().to_owned(),
            "key" => "'copy-' || n.i".to_owned(),
            name => format!("t.\"{name}\""),
        });
        let values = values.collect::<Vec<_>>().join(", ");
        let columns = columns.iter().map(|column| format!("\"{column}\""));
        let columns = columns.collect::<Vec<_>>().join(", ");
        let numbers = match self.engine {
            Engine::Sqlite => {
                "(WITH RECURSIVE c(i) AS (SELECT $from UNION ALL SELECT i + 1 FROM c WHERE i < $to) SELECT i FROM c) n"
            }
            Engine::Postgres => "generate_series($from::bigint, $to::bigint) n(i)",
        };
        let saga = self.literal(saga);
        format!(
            "INSERT INTO {table} ({columns}) SELECT {values} FROM {numbers}, {table} t WHERE t.\"{id}\" = {saga}"
        )
    }

    fn id(&self) -> &'static str {
        match self.engine {
            Engine::Sqlite => "unhex(printf('%032x', n.i))",
            Engine::Postgres => "lpad(to_hex(n.i), 32, '0')::uuid",
        }
    }

    fn literal(&self, id: &str) -> String {
        match self.engine {
            Engine::Sqlite => format!("X'{}'", id.replace('-', "")),
            Engine::Postgres => format!("'{id}'"),
        }
    }

    /// Every column, whatever the schema has grown to.
    async fn columns(&self, table: &str) -> Vec<String> {
        let sql = match self.engine {
            Engine::Sqlite => format!("SELECT name FROM pragma_table_info('{table}')"),
            Engine::Postgres => format!(
                "SELECT column_name::text AS name FROM information_schema.columns WHERE table_name = '{table}' AND table_schema = 'public'"
            ),
        };
        let statement = Statement::from_string(self.database.get_database_backend(), sql);
        let rows = self
            .database
            .query_all_raw(statement)
            .await
            .expect("columns");
        rows.iter()
            .map(|row| row.try_get("", "name").expect("a name"))
            .collect()
    }

    async fn run(&self, sql: &str) {
        let done = self.database.execute_unprepared(sql).await;
        done.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

//! Opening a database: pools, pragmas and timeouts of both engines, and migrations.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    str::FromStr as _,
    time::Duration,
};

use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, DbErr, RuntimeErr,
    sqlx::{
        ConnectOptions as _,
        postgres::PgConnectOptions,
        sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
    },
};
use sea_orm_migration::MigratorTrait;

use super::{
    checkpoint::Checkpoints, migrations::ChassisMigrator, postgres::Writers, read::Reader,
    writer::Writer,
};

/// Connections that read on SQLite. Writing has one of its own.
const SQLITE_READERS: u32 = 4;
/// Longest wait for a free connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait of SQLite for a lock that another process holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest time of one statement on PostgreSQL, in milliseconds.
const STATEMENT_TIMEOUT_MS: u32 = 10_000;
/// Longest wait for a row lock on PostgreSQL, in milliseconds.
const LOCK_TIMEOUT_MS: u32 = 5_000;
/// Longest silence of a transaction on PostgreSQL, in milliseconds: a process that is stopped must not keep its locks.
const IDLE_TRANSACTION_TIMEOUT_MS: u32 = 10_000;
/// Statements that a connection which writes keeps prepared.
const CACHED_STATEMENTS: usize = 256;
/// Key of the lock that keeps replicas from migrating at once ("caravan").
const MIGRATION_LOCK: i64 = 0x0063_6172_6176_616e;

/// The connections of one SQLite database: one writes, others read.
pub(super) struct Sqlite {
    pub(super) write: Writer,
    pub(super) read: Reader,
}

/// Opens SQLite (`sqlite:PATH`), migrated. From `last_resort_pages` of the log on commits copy it back themselves.
pub(super) async fn sqlite<M: MigratorTrait>(
    url: &str,
    last_resort_pages: u32,
) -> Result<Sqlite, DbErr> {
    let path = Path::new(url.trim_start_matches("sqlite:").trim_start_matches("//"));
    // Until all is migrated. Ends with the process too, however that dies.
    let _lock = lock_migrations(path.to_owned()).await?;
    let write = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(true)
        .disable_statement_logging();
    let mut options = base_options(url, 1);
    let migrating = write.clone();
    options.map_sqlx_sqlite_opts(move |_| migrating.clone());
    let single = Database::connect(options).await?;
    migrate::<M>(&single).await?;

    let mut options = base_options(url, SQLITE_READERS);
    options.map_sqlx_sqlite_opts(|options| options.read_only(true).busy_timeout(BUSY_TIMEOUT));
    let read = Database::connect(options).await?;
    // Not before: the log goes with its last connection.
    single.close().await?;
    let write = write
        .statement_cache_capacity(CACHED_STATEMENTS)
        .pragma("wal_autocheckpoint", last_resort_pages.to_string());
    let checkpoints = Checkpoints::start(path, write.clone());
    Ok(Sqlite {
        write: Writer::start(write, checkpoints),
        read: Reader::sqlite(read),
    })
}

/// Waits until no other process opens the database for the first time: it makes the folder and locks a file in it.
async fn lock_migrations(database: PathBuf) -> Result<File, DbErr> {
    let explain = |path: &Path, error| DbErr::Custom(format!("{}: {error}", path.display()));
    let lock = move || {
        if let Some(folder) = database.parent() {
            fs::create_dir_all(folder).map_err(|error| explain(folder, error))?;
        }
        let path = database.with_extension("migrations.lock");
        let file = File::create(&path).map_err(|error| explain(&path, error))?;
        file.lock().map_err(|error| explain(&path, error))?;
        Ok(file)
    };
    let locked = tokio::task::spawn_blocking(lock).await;
    locked.map_err(|error| DbErr::Custom(error.to_string()))?
}

/// The connections to one PostgreSQL database.
pub(super) struct Postgres {
    pub(super) write: Writers,
    pub(super) read: Reader,
}

/// Opens PostgreSQL (`postgres://...`), migrated.
pub(super) async fn postgres<M: MigratorTrait>(url: &str) -> Result<Postgres, DbErr> {
    // Without the timeouts of requests: an index may take its time to build, and so may another replica's.
    let single = Database::connect(base_options(url, 1)).await?;
    single
        .execute_unprepared(&format!("SELECT pg_advisory_lock({MIGRATION_LOCK})"))
        .await?;
    let migrated = migrate::<M>(&single).await;
    single.close().await?; // Ends the session, and with it the lock.
    migrated?;
    let options = PgConnectOptions::from_str(url)
        .map_err(|error| DbErr::Conn(RuntimeErr::SqlxError(error.into())))?
        .options(postgres_settings())
        .statement_cache_capacity(CACHED_STATEMENTS);
    Ok(Postgres {
        read: Reader::postgres(options.clone()),
        write: Writers::start(options),
    })
}

fn base_options(url: &str, connections: u32) -> ConnectOptions {
    let mut options = ConnectOptions::new(url.to_owned());
    options
        .max_connections(connections)
        .min_connections(1)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .sqlx_logging(false);
    options
}

fn postgres_settings() -> [(&'static str, String); 4] {
    [
        ("statement_timeout", STATEMENT_TIMEOUT_MS.to_string()),
        ("lock_timeout", LOCK_TIMEOUT_MS.to_string()),
        (
            "idle_in_transaction_session_timeout",
            IDLE_TRANSACTION_TIMEOUT_MS.to_string(),
        ),
        ("client_min_messages", "warning".to_owned()),
    ]
}

/// Applies the chassis' migrations and the service's. Refuses a schema that knows more than this program.
async fn migrate<M: MigratorTrait>(connection: &DatabaseConnection) -> Result<(), DbErr> {
    ChassisMigrator::up(connection, None).await?;
    M::up(connection, None).await?;
    if connection.get_database_backend() == DbBackend::Sqlite {
        // Statistics for the planner; cheap where nothing changed.
        connection.execute_unprepared("PRAGMA optimize").await?;
    }
    Ok(())
}

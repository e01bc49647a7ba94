//! Databases of a test's own, on both engines.

use std::{
    env, fmt,
    ops::Deref,
    path::Path,
    process::{Command, Stdio},
    thread,
};

use tempfile::TempDir;
use uuid::Uuid;

/// Names the PostgreSQL cluster that tests may use, e.g. `postgres://test@127.0.0.1:5433`.
/// `make test` sets it.
pub const POSTGRES_VARIABLE: &str = "CARAVAN_TEST_POSTGRES";

/// What a service keeps its data in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// A file of its own: the embedded default.
    Sqlite,
    /// A database in a shared cluster: what production runs.
    Postgres,
}

/// An empty database that ends with the value. Reads as the URL that a service takes as `DATABASE_URL`.
#[derive(Debug)]
pub struct DatabaseUrl {
    url: String,
    place: Place,
}

#[derive(Debug)]
enum Place {
    File {
        _folder: TempDir,
    },
    Cluster {
        cluster: String,
        name: String,
    },
    /// Goes with its cluster.
    PrivateCluster,
}

/// A new, empty database for one service.
///
/// `None` where the engine is PostgreSQL and no cluster is named by [`POSTGRES_VARIABLE`]: then the
/// test is skipped, and says so.
///
/// # Panics
/// Where a cluster is named and cannot be used.
pub fn database_url(engine: Engine) -> Option<DatabaseUrl> {
    match engine {
        Engine::Sqlite => {
            let folder = tempfile::Builder::new()
                .prefix("caravan-db-")
                .tempdir()
                .expect("a temporary folder");
            Some(DatabaseUrl {
                url: format!("sqlite:{}", folder.path().join("test.db").display()),
                place: Place::File { _folder: folder },
            })
        }
        Engine::Postgres => {
            let cluster = postgres()?;
            let name = format!("t_{}", Uuid::now_v7().simple());
            psql(&cluster, &format!("CREATE DATABASE {name}"));
            Some(DatabaseUrl {
                url: format!("{cluster}/{name}"),
                place: Place::Cluster { cluster, name },
            })
        }
    }
}

/// The cluster that tests may use; says that the test is skipped where there is none.
pub(crate) fn postgres() -> Option<String> {
    match env::var(POSTGRES_VARIABLE) {
        Ok(cluster) if !cluster.is_empty() => Some(cluster.trim_end_matches('/').to_owned()),
        _ => {
            eprintln!(
                "SKIPPED: {POSTGRES_VARIABLE} names no PostgreSQL cluster; `make test` makes one"
            );
            None
        }
    }
}

/// How often the tests' PostgreSQL cluster made its log durable since it started.
///
/// # Panics
/// Where there is no cluster.
pub fn wal_syncs() -> f64 {
    let cluster = postgres().expect("a cluster");
    let syncs = psql(&cluster, "SELECT wal_sync FROM pg_stat_wal");
    syncs.trim().parse().expect("a number")
}

/// Removes every database of the cluster whose name starts with `prefix`, whoever is connected.
pub(crate) fn drop_databases(cluster: &str, prefix: &str) {
    let names = psql(
        cluster,
        &format!("SELECT datname FROM pg_database WHERE starts_with(datname, '{prefix}')"),
    );
    // Each waits for a checkpoint: at the same time they wait for the same one.
    thread::scope(|scope| {
        for name in names.lines() {
            scope.spawn(move || {
                let statement = format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)");
                psql(cluster, &statement);
            });
        }
    });
}

/// What every database of the cluster whose name starts with `prefix` holds, by its name.
///
/// # Panics
/// Where pg_dump is missing or fails.
pub(crate) fn dump_databases(cluster: &str, prefix: &str) -> Vec<(String, Vec<u8>)> {
    let names = psql(
        cluster,
        &format!("SELECT datname FROM pg_database WHERE starts_with(datname, '{prefix}')"),
    );
    let dump = |name: &str| {
        let output = Command::new("pg_dump")
            .args(["--data-only", "--inserts"])
            .arg(format!("{cluster}/{name}"))
            .stdin(Stdio::null())
            .output()
            .expect("pg_dump runs; it comes with psql");
        assert!(
            output.status.success(),
            "{name}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        (name.to_owned(), output.stdout)
    };
    names.lines().map(dump).collect()
}

/// Runs one statement in the cluster's own database and answers the rows, one a line.
///
/// # Panics
/// Where psql is missing or the statement fails.
pub(crate) fn psql(cluster: &str, statement: &str) -> String {
    let output = Command::new("psql")
        .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"])
        .args(["--command", statement])
        .arg(format!("{cluster}/postgres"))
        .stdin(Stdio::null())
        .output()
        .expect("psql runs; `make test` installs it");
    assert!(
        output.status.success(),
        "{statement}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

impl DatabaseUrl {
    /// A new, empty database in a cluster that ends with the test, e.g. `postgres://test@127.0.0.1:5433`.
    ///
    /// # Panics
    /// Where the cluster does not answer.
    pub fn in_cluster(cluster: &str, name: &str) -> Self {
        psql(cluster, &format!("CREATE DATABASE {name}"));
        Self {
            url: format!("{cluster}/{name}"),
            place: Place::PrivateCluster,
        }
    }

    /// The database's file, where it is one.
    pub fn path(&self) -> Option<&Path> {
        self.url.strip_prefix("sqlite:").map(Path::new)
    }
}

impl Deref for DatabaseUrl {
    type Target = str;

    fn deref(&self) -> &str {
        &self.url
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.url)
    }
}

impl Drop for DatabaseUrl {
    fn drop(&mut self) {
        if let Place::Cluster { cluster, name } = &self.place {
            psql(
                cluster,
                &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sqlite_file_has_a_folder_that_goes_with_it() {
        let database = database_url(Engine::Sqlite).expect("SQLite is always there");
        let folder = database
            .path()
            .and_then(Path::parent)
            .expect("a file")
            .to_owned();
        assert!(folder.is_dir());
        drop(database);
        assert!(!folder.exists());
    }

    #[test]
    fn a_postgres_database_goes_with_its_value() {
        let Some(database) = database_url(Engine::Postgres) else {
            return;
        };
        let (cluster, name) = database.rsplit_once('/').expect("a URL");
        let (cluster, name) = (cluster.to_owned(), name.to_owned());
        let count = format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'");
        assert_eq!(psql(&cluster, &count).trim(), "1");
        drop(database);
        assert_eq!(psql(&cluster, &count).trim(), "0");
    }
}

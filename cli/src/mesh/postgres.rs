//! One PostgreSQL database for each service, made where it is missing.

use std::str::FromStr as _;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

use super::topology::Topology;

/// Stands for the service's name in the URL.
const SERVICE: &str = "{service}";
/// The database that every server has.
const MAINTENANCE_DATABASE: &str = "postgres";
/// A server that is there answers in milliseconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Somebody else made the database in the meantime.
const DUPLICATE_DATABASE: &str = "42P04";

/// A URL with `{service}` in the place of the service's name.
#[derive(Clone, Debug)]
pub struct Template(String);

impl Template {
    /// Checks that every service gets a database of its own.
    ///
    /// # Errors
    /// Where `{service}` or the scheme is missing.
    pub fn parse(url: &str) -> Result<Self, String> {
        let scheme = url.starts_with("postgres://") || url.starts_with("postgresql://");
        match (scheme, url.contains(SERVICE)) {
            (true, true) => Ok(Self(url.to_owned())),
            (false, _) => Err("expected postgres://user@host:port/caravan_{service}".to_owned()),
            (true, false) => {
                Err("must contain {service}: each service has a database of its own".to_owned())
            }
        }
    }

    /// The URL of one service's database.
    #[must_use]
    pub fn url(&self, service: &str) -> String {
        self.0.replace(SERVICE, service)
    }

    /// As it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Makes the databases that are missing.
///
/// # Errors
/// Where the server cannot be reached or refuses. The URL, which may hold a password, is not named.
pub async fn create_databases(template: &Template, topology: &Topology) -> anyhow::Result<()> {
    for service in topology.services() {
        let options = PgConnectOptions::from_str(&template.url(service.name))
            .context("the --postgres URL cannot be read")?;
        let database = options.get_database().unwrap_or_default().to_owned();
        ensure!(!database.is_empty(), "the --postgres URL names no database");
        let options = options.database(MAINTENANCE_DATABASE);
        let mut connection = tokio::time::timeout(CONNECT_TIMEOUT, options.connect())
            .await
            .context("PostgreSQL does not answer")?
            .context("cannot connect to PostgreSQL (database `postgres`)")?;
        create(&mut connection, &database)
            .await
            .with_context(|| format!("cannot create the PostgreSQL database {database}"))?;
        connection
            .close()
            .await
            .context("cannot close the connection to PostgreSQL")?;
    }
    Ok(())
}

async fn create(connection: &mut PgConnection, database: &str) -> sqlx::Result<()> {
    let found = sqlx::query("SELECT 1 FROM pg_database WHERE datname = $1")
        .bind(database)
        .fetch_optional(&mut *connection)
        .await?;
    if found.is_some() {
        return Ok(());
    }
    // A database name cannot be a parameter; quoted, it can hold nothing but a name.
    let quoted = database.replace('"', "\"\"");
    match sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE \"{quoted}\"")))
        .execute(connection)
        .await
    {
        Err(sqlx::Error::Database(error))
            if error.code().as_deref() == Some(DUPLICATE_DATABASE) =>
        {
            Ok(())
        }
        done => done.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_service_has_its_own_database() {
        let template = Template::parse("postgres://u@h:5432/caravan_{service}").unwrap();
        assert_eq!(template.url("saga"), "postgres://u@h:5432/caravan_saga");
        Template::parse("postgres://u@h/caravan").unwrap_err();
        Template::parse("sqlite:{service}").unwrap_err();
    }
}

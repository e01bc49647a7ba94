//! What can go wrong with a database, and whether it may pass.

use sea_orm::DbErr;
use tonic::Code;

use crate::error::Classify;

/// A unit of work or a query that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another unit of work changed the row first.
    #[error("someone else changed this at the same moment; try again")]
    Conflict,
    /// Too many units of work wait for their turn.
    #[error("too much is being written right now; try again")]
    Overloaded,
    /// The unit of work took longer than it may.
    #[error("the change took too long and was not made; try again")]
    TooSlow,
    /// The commit failed, so nothing of its batch was kept.
    #[error("the change could not be stored; try again")]
    Commit(#[source] std::sync::Arc<DbErr>),
    /// The saga has compensated this step: it will never run.
    #[error("the saga step was compensated before it arrived")]
    StepCompensated,
    /// A newer orchestrator has taken the saga over.
    #[error("a newer orchestrator has taken over the saga")]
    StaleEpoch,
    /// The Idempotency-Key belongs to a call with another message.
    #[error("this Idempotency-Key was used with another request")]
    KeyReused,
    /// A statement failed and the unit of work went on as if it had not: PostgreSQL keeps nothing of it.
    #[error("a statement of the unit of work failed")]
    FailedStatement,
    /// Another replica has taken the consumer over.
    #[error("another replica has taken this consumer over")]
    Superseded,
    /// A stored row does not read as what it must be.
    #[error("a stored row is not readable: {0}")]
    Corrupt(String),
    /// The database refused or lost a statement.
    #[error("the database failed")]
    Database(#[source] DbErr),
}

impl From<DbErr> for Error {
    fn from(error: DbErr) -> Self {
        Self::Database(error)
    }
}

impl Classify for Error {
    fn code(&self) -> Code {
        match self {
            Self::Conflict | Self::Superseded => Code::Aborted,
            Self::Overloaded => Code::ResourceExhausted,
            Self::TooSlow | Self::Commit(_) => Code::Unavailable,
            Self::StepCompensated | Self::StaleEpoch | Self::KeyReused => Code::FailedPrecondition,
            Self::Corrupt(_) => Code::DataLoss,
            Self::Database(error) if may_pass(error) => Code::Unavailable,
            Self::Database(_) | Self::FailedStatement => Code::Internal,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Conflict => "CONFLICT",
            Self::Overloaded => "OVERLOADED",
            Self::TooSlow => "WRITE_TOO_SLOW",
            Self::StepCompensated => "SAGA_STEP_COMPENSATED",
            Self::StaleEpoch => "SAGA_EPOCH_STALE",
            Self::KeyReused => "IDEMPOTENCY_KEY_REUSED",
            Self::Superseded => "CONSUMER_SUPERSEDED",
            Self::Corrupt(_) => "DATA_CORRUPT",
            Self::Commit(_) | Self::Database(_) | Self::FailedStatement => "DATABASE",
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Database(_) | Self::Commit(_) | Self::FailedStatement => {
                "The database cannot be reached right now.".to_owned()
            }
            other => other.to_string(),
        }
    }
}

/// Whether the statement may succeed later: lost connections, a full disk, locks and lost races.
fn may_pass(error: &DbErr) -> bool {
    if matches!(error, DbErr::ConnectionAcquire(_) | DbErr::Conn(_)) {
        return true;
    }
    match driver_error(error) {
        Some(sea_orm::sqlx::Error::Database(cause)) => {
            cause.code().is_some_and(|code| is_passing(&code))
        }
        Some(
            sea_orm::sqlx::Error::Io(_)
            | sea_orm::sqlx::Error::PoolTimedOut
            | sea_orm::sqlx::Error::PoolClosed
            | sea_orm::sqlx::Error::WorkerCrashed,
        ) => true,
        _ => false,
    }
}

/// SQLSTATE classes of PostgreSQL and result codes of SQLite that a later try may not meet again.
fn is_passing(code: &str) -> bool {
    const POSTGRES_CLASSES: [&str; 5] = ["08", "40", "53", "55", "57"];
    const SQLITE_PRIMARY: [i32; 4] = [5, 6, 10, 13]; // BUSY, LOCKED, IOERR, FULL
    if code.len() == 5 {
        return POSTGRES_CLASSES.iter().any(|class| code.starts_with(class));
    }
    code.parse::<i32>()
        .is_ok_and(|extended| SQLITE_PRIMARY.contains(&(extended & 0xff)))
}

/// Whether PostgreSQL gave up this transaction in favour of another one: serialization failure or deadlock.
pub(super) fn is_lost_race(error: &DbErr) -> bool {
    matches!(driver_error(error), Some(sea_orm::sqlx::Error::Database(cause))
        if cause.code().is_some_and(|code| code == "40001" || code == "40P01"))
}

/// Whether the connection was broken before: its server restarted or the network cut it.
pub(super) fn is_connection_broken(error: &DbErr) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    match driver_error(error) {
        Some(sea_orm::sqlx::Error::Io(error)) => matches!(
            error.kind(),
            BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof
        ),
        // Shut down by an administrator, or crashed.
        Some(sea_orm::sqlx::Error::Database(cause)) => cause
            .code()
            .is_some_and(|code| code == "57P01" || code == "57P02"),
        _ => false,
    }
}

/// Whether the server refused a statement, and its connection serves the next one.
pub(super) fn is_refusal(error: &DbErr) -> bool {
    matches!(driver_error(error), Some(sea_orm::sqlx::Error::Database(_)))
        && !is_connection_broken(error)
}

/// Whether SQLite knows no savepoint of the name that was to be undone.
pub(super) fn is_no_such_savepoint(error: &DbErr) -> bool {
    matches!(driver_error(error), Some(sea_orm::sqlx::Error::Database(cause))
        if cause.message().starts_with("no such savepoint"))
}

fn driver_error(error: &DbErr) -> Option<&sea_orm::sqlx::Error> {
    match error {
        DbErr::Conn(sea_orm::RuntimeErr::SqlxError(cause))
        | DbErr::Exec(sea_orm::RuntimeErr::SqlxError(cause))
        | DbErr::Query(sea_orm::RuntimeErr::SqlxError(cause)) => Some(cause),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_and_a_lost_connection_pass_a_broken_rule_does_not() {
        for code in ["5", "13", "266", "40P01", "57P01", "08006", "53100"] {
            assert!(is_passing(code), "{code}");
        }
        for code in ["1", "19", "2067", "23505", "42601"] {
            assert!(!is_passing(code), "{code}");
        }
    }
}

//! How far the outbox is behind: what waits, and since when.

use std::sync::{
    LazyLock,
    atomic::{AtomicI64, Ordering::Relaxed},
};

use opentelemetry::metrics::ObservableGauge;
use sea_orm::{FromQueryResult, Statement};

use crate::{
    clock,
    db::{Db, Error},
    telemetry::meter,
};

/// Most unsent rows that are counted.
const MAX_COUNTED: i64 = 100_000;

/// What waits for the broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromQueryResult)]
pub(crate) struct Lag {
    /// Events, at most 100,000.
    pub(crate) unsent: i64,
    /// When the oldest of them happened, in microseconds since 1970.
    pub(crate) oldest_us: Option<i64>,
}

/// Reads what waits.
///
/// # Errors
/// The database's own.
pub(crate) async fn lag(db: &Db) -> Result<Lag, Error> {
    let connection = db.read();
    let sql = format!(
        "SELECT COUNT(*) AS unsent, MIN(occurred_at_us) AS oldest_us FROM \
         (SELECT occurred_at_us FROM outbox WHERE sent_at_us IS NULL ORDER BY id LIMIT {MAX_COUNTED}) AS waiting"
    );
    let statement = Statement::from_string(connection.get_database_backend(), sql);
    let lag = Lag::find_by_statement(statement).one(connection).await?;
    Ok(lag.unwrap_or_default())
}

static UNSENT: AtomicI64 = AtomicI64::new(0);
/// 0 where nothing waits.
static OLDEST_US: AtomicI64 = AtomicI64::new(0);

static GAUGES: LazyLock<(ObservableGauge<i64>, ObservableGauge<f64>)> = LazyLock::new(|| {
    let unsent = meter()
        .i64_observable_gauge("caravan_outbox_unsent")
        .with_description("Events that the broker has not acknowledged yet")
        .with_callback(|gauge| gauge.observe(UNSENT.load(Relaxed), &[]))
        .build();
    let age = meter()
        .f64_observable_gauge("caravan_outbox_oldest_unsent_age")
        .with_unit("s")
        .with_description("Age of the oldest event that the broker has not acknowledged yet")
        .with_callback(|gauge| {
            let age_us = match OLDEST_US.load(Relaxed) {
                0 => 0,
                oldest_us => clock::now_us() - oldest_us,
            };
            gauge.observe(age_us.max(0) as f64 / 1e6, &[]);
        })
        .build();
    (unsent, age)
});

/// Shows the lag as metrics.
pub(super) fn show(lag: Lag) {
    let _ = &*GAUGES;
    UNSENT.store(lag.unsent, Relaxed);
    OLDEST_US.store(lag.oldest_us.unwrap_or_default(), Relaxed);
}

//! The data layer alone: units of work per second and how long one takes, and events from one service's outbox through the
//! broker to their effect in another one's database.

mod events;
mod history;
mod report;
mod tables;
mod units;

use clap::Args;
use kit::Engine;

use crate::{Options, machine};

/// Callers at the same time, one run each.
const CALLERS: [usize; 4] = [1, 32, 128, 512];
/// Callers where pgbench runs beside.
const COMPARED_CALLERS: usize = 32;

/// What only this section is told.
#[derive(Clone, Debug, Args)]
pub(crate) struct DataOptions {
    /// Events in the outbox for the runs with a history.
    #[arg(long, default_value_t = 10_000_000)]
    events: u64,
}

/// Measures and prints.
pub(crate) async fn run(options: &Options) {
    for engine in options.engines() {
        let Some(url) = kit::database_url(engine) else {
            continue;
        };
        let folder = tempfile::tempdir().expect("a temporary folder");
        let fsyncs_per_s = machine::fsyncs_per_s(folder.path());
        let db = tables::open(&url).await;
        let mut runs = Vec::new();
        for callers in options.only(&CALLERS) {
            runs.push(units::run(&db, callers, options.length()).await);
        }
        let pgbench = match engine {
            Engine::Postgres => units::pgbench(&url, COMPARED_CALLERS, options.length()),
            Engine::Sqlite => None,
        };
        println!("{}", report::units(engine, fsyncs_per_s, &runs, pgbench));
        drop(db);

        let mut flows = vec![events::run(engine, 0, options.length()).await];
        if engine == Engine::Sqlite && options.data.events > 0 {
            flows.push(events::run(engine, options.data.events, options.length()).await);
        }
        println!("{}", report::events(fsyncs_per_s, &flows));
    }
}

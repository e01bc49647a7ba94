//! The orchestrator alone: sagas per second, latency, commits and CPU, with and without a history; sagas that wait;
//! takeover; and Restate beside it.

mod history;
mod orchestrator;
mod participant;
mod report;
mod restate;
mod takeover;
mod waiting;

use std::path::PathBuf;

use clap::Args;
use kit::{Engine, wait::until};

use crate::{
    Options, load,
    load::Load,
    machine::{self, commits},
};

use history::Tables;
use orchestrator::{Orchestrator, PURCHASE};
use restate::Compared;

/// Sagas in flight, one run each.
const IN_FLIGHT: [usize; 4] = [1, 32, 128, 1000];
/// In flight where Restate runs beside.
const COMPARED_IN_FLIGHT: usize = 128;

/// What only this section is told.
#[derive(Clone, Debug, Args)]
pub(crate) struct SagaOptions {
    /// Finished sagas in the table for the runs with a history, and waiting ones.
    #[arg(long, default_value_t = 1_000_000)]
    sagas: u64,
    /// Folder with `restate-server` and the `purchase` service; `tests/bench` fills it. Without it Restate is not measured.
    #[arg(long)]
    restate: Option<PathBuf>,
}

/// One run.
struct Run {
    /// Finished sagas that were in the table before.
    history: u64,
    load: Load,
    commits: f64,
    wal_syncs: Option<f64>,
    /// CPU seconds of the orchestrator.
    cpu_s: f64,
}

/// Measures and prints, each part when it is done.
pub(crate) async fn run(options: &Options) {
    println!("# Sagas\n");
    let mut beside = Vec::new();
    for engine in options.engines() {
        let Some(runs) = measure(options, engine).await else {
            continue;
        };
        println!("{}", report::runs(engine, &runs));
        let waiting = waiting::measure(engine, options.sagas.sagas).await;
        println!("{}", report::waiting(&waiting));
        if engine == Engine::Postgres {
            // Nobody but one process writes to an SQLite file.
            println!("{}", report::takeover(&takeover::measure().await));
        }
        let compared = |run: &&Run| run.history == 0 && run.load.at_a_time == COMPARED_IN_FLIGHT;
        let run = runs.iter().find(compared);
        beside.extend(run.map(|run| Compared::ours(engine, run)));
    }
    match &options.sagas.restate {
        Some(folder) => {
            beside.push(restate::measure(folder, COMPARED_IN_FLIGHT, options.length()).await)
        }
        None => println!("Restate is not measured: it could not be had.\n"),
    }
    println!("{}", report::comparison(&beside));
}

async fn measure(options: &Options, engine: Engine) -> Option<Vec<Run>> {
    let mut orchestrator = Orchestrator::start(engine).await?;
    let tables = Tables::open(engine, orchestrator.service.database()).await;
    let mut runs = Vec::new();
    for history in [0, options.sagas.sagas] {
        if history > 0 {
            let finished = finished(&orchestrator).await;
            tables.multiply(&finished, 1, history).await;
            orchestrator.restart().await;
        }
        for in_flight in options.only(&IN_FLIGHT) {
            runs.push(drive(options, engine, &orchestrator, in_flight, history).await);
        }
    }
    Some(runs)
}

async fn drive(
    options: &Options,
    engine: Engine,
    orchestrator: &Orchestrator,
    in_flight: usize,
    history: u64,
) -> Run {
    let one = || orchestrator.purchase();
    load::warm_up(in_flight, options.length(), one).await;
    let counters = async || {
        let wal_syncs = (engine == Engine::Postgres).then(kit::wal_syncs);
        let commits = commits(&orchestrator.service.admin_port()).await;
        (
            commits,
            wal_syncs,
            machine::cpu_s(orchestrator.service.pid()),
        )
    };
    let before = counters().await;
    let load = load::run(in_flight, options.length(), one).await;
    let after = counters().await;
    Run {
        history,
        commits: after.0 - before.0,
        wal_syncs: Option::zip(after.1, before.1).map(|(after, before)| after - before),
        cpu_s: after.2 - before.2,
        load,
    }
}

/// One saga of four steps that has completed.
async fn finished(orchestrator: &Orchestrator) -> String {
    let id = orchestrator.begin(PURCHASE, "template").await;
    let id = id.expect("a saga starts");
    until("a saga completes", || async {
        let saga = orchestrator.saga(&id).await;
        let state = saga.state();
        (state == contracts::caravan::saga::v1::SagaState::Completed)
            .then_some(())
            .ok_or(state)
    })
    .await;
    id
}

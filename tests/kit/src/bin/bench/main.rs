//! Measures a mesh on this machine and prints tables in markdown. `make bench` runs it on a release build.
#![allow(clippy::print_stdout, reason = "the tables are this program's output")]

mod load;
mod machine;
mod report;

use std::time::Duration;

use clap::Parser;
use kit::{Engine, Setup, World};

use crate::{load::Load, machine::Memory};

/// Concurrent buyers, one run each.
const BUYERS: [usize; 3] = [1, 32, 128];
/// After the mesh is ready its memory is looked at when start-up work is over.
const IDLE_AFTER: Duration = Duration::from_secs(3);

/// Measures purchases per second, latency, commits and memory of a mesh.
#[derive(Debug, Parser)]
struct Arguments {
    /// Length of each measured run, in seconds; a shorter one without measuring goes before.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Only this number of buyers.
    #[arg(long)]
    buyers: Option<usize>,
    /// Not on PostgreSQL.
    #[arg(long)]
    no_postgres: bool,
}

/// All that was measured on one engine.
struct Measured {
    engine: Engine,
    ready_after_ms: u64,
    fsyncs_per_s: f64,
    loads: Vec<Load>,
    idle: Vec<Memory>,
    loaded: Vec<Memory>,
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    println!("{}", machine::describe());
    for engine in [Engine::Sqlite, Engine::Postgres] {
        if engine == Engine::Postgres && arguments.no_postgres {
            continue;
        }
        if let Some(measured) = measure(&arguments, engine).await {
            println!("{}", report::tables(&measured));
        }
    }
}

async fn measure(arguments: &Arguments, engine: Engine) -> Option<Measured> {
    let mut world = World::start_with(Setup::on(engine).seeded()).await?;
    let ready_after_ms = world.status().ready_after_ms.expect("the mesh is ready");
    let fsyncs_per_s = machine::fsyncs_per_s(&world.mesh_home());
    tokio::time::sleep(IDLE_AFTER).await;
    let idle = machine::memory(&mut world);

    let skus = load::stock_up(&world).await;
    let mut loads = Vec::new();
    for buyers in BUYERS {
        if arguments.buyers.is_none_or(|only| only == buyers) {
            let length = Duration::from_secs(arguments.seconds);
            loads.push(load::run(&world, engine, &skus, buyers, length).await);
        }
    }
    let loaded = machine::memory(&mut world);
    Some(Measured {
        engine,
        ready_after_ms,
        fsyncs_per_s,
        loads,
        idle,
        loaded,
    })
}

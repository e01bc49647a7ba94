//! Purchases through the whole mesh: orders per second, latency, commits and memory.

mod load;
mod report;

use std::time::Duration;

use kit::{Engine, Setup, World};

use crate::{
    Options,
    machine::{self, Memory},
};

use load::Load;

/// Concurrent buyers, one run each.
const BUYERS: [usize; 3] = [1, 32, 128];
/// After the mesh is ready its memory is looked at when start-up work is over.
const IDLE_AFTER: Duration = Duration::from_secs(3);

/// All that was measured on one engine.
struct Measured {
    engine: Engine,
    ready_after_ms: u64,
    fsyncs_per_s: f64,
    loads: Vec<Load>,
    idle: Vec<Memory>,
    loaded: Vec<Memory>,
}

/// Measures and prints.
pub(crate) async fn run(options: &Options) {
    println!("# Orders\n");
    for engine in options.engines() {
        if let Some(measured) = measure(options, engine).await {
            println!("{}", report::tables(&measured));
        }
    }
}

async fn measure(options: &Options, engine: Engine) -> Option<Measured> {
    let mut world = World::start_with(Setup::on(engine).seeded()).await?;
    let ready_after_ms = world.status().ready_after_ms.expect("the mesh is ready");
    let fsyncs_per_s = machine::fsyncs_per_s(&world.mesh_home());
    tokio::time::sleep(IDLE_AFTER).await;
    let idle = machine::memory(&mut world);

    let skus = load::stock_up(&world).await;
    let mut loads = Vec::new();
    for buyers in options.only(&BUYERS) {
        loads.push(load::run(&world, engine, &skus, buyers, options.length()).await);
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

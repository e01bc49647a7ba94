//! Measures release builds on this machine and prints tables in markdown. `make bench` runs it, section by section.
#![allow(clippy::print_stdout, reason = "the tables are this program's output")]

mod data;
mod load;
mod machine;
mod orders;
mod sagas;
mod summary;

use std::time::Duration;

use clap::{Args, Parser, ValueEnum};
use kit::Engine;

/// Measures what the mesh does per second, how long it takes, and what it costs.
#[derive(Debug, Parser)]
struct Arguments {
    /// Only these sections.
    #[arg(value_enum)]
    sections: Vec<Section>,
    #[command(flatten)]
    options: Options,
}

/// What every section is told.
#[derive(Clone, Debug, Args)]
struct Options {
    /// Length of each measured run, in seconds; a shorter one without measuring goes before.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Only this many at a time: buyers, or whatever a section counts.
    #[arg(long)]
    at_a_time: Option<usize>,
    /// Not on PostgreSQL.
    #[arg(long)]
    no_postgres: bool,
    /// Not on SQLite.
    #[arg(long)]
    no_sqlite: bool,
    #[command(flatten)]
    sagas: sagas::SagaOptions,
    #[command(flatten)]
    data: data::DataOptions,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Section {
    /// Purchases through the whole mesh.
    Orders,
    /// The orchestrator alone, and Restate beside it.
    Sagas,
    /// Units of work and events, without services around them.
    Data,
}

impl Options {
    fn length(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    fn engines(&self) -> impl Iterator<Item = Engine> {
        let engines = [
            (Engine::Sqlite, !self.no_sqlite),
            (Engine::Postgres, !self.no_postgres),
        ];
        let wanted = |(engine, wanted): (Engine, bool)| wanted.then_some(engine);
        engines.into_iter().filter_map(wanted)
    }

    /// Those of a section's numbers that are asked for.
    fn only(&self, numbers: &[usize]) -> Vec<usize> {
        let wanted = |number: &&usize| self.at_a_time.is_none_or(|only| only == **number);
        numbers.iter().filter(wanted).copied().collect()
    }
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    println!("{}", machine::describe());
    for section in Section::value_variants() {
        if arguments.sections.is_empty() || arguments.sections.contains(section) {
            match section {
                Section::Orders => orders::run(&arguments.options).await,
                Section::Sagas => sagas::run(&arguments.options).await,
                Section::Data => data::run(&arguments.options).await,
            }
        }
    }
}

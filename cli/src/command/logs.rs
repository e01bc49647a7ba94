//! `caravan logs`.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::PossibleValuesParser;

use super::stop::Stop;
use crate::logs::console::Format;
use crate::logs::read::{Tail, merge};
use crate::logs::{OWN_NAME, pretty};
use crate::mesh::home::Home;
use crate::mesh::topology;

/// Between two looks at the files.
const FOLLOW_EVERY: Duration = Duration::from_millis(100);
/// Most lines that `--lines` takes.
const MAX_LINES: u64 = 100_000;

/// Options of `caravan logs`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Only this process; `caravan` is what `caravan up` itself said.
    #[arg(value_parser = PossibleValuesParser::new(topology::names().chain([OWN_NAME])))]
    service: Option<String>,
    /// Go on with new lines as they come.
    #[arg(long, short)]
    follow: bool,
    /// How many lines to begin with.
    #[arg(long, short = 'n', default_value_t = 200, value_parser = clap::value_parser!(u64).range(..=MAX_LINES), value_name = "LINES")]
    lines: u64,
}

/// Prints the last lines, of all processes in the order of time, and follows where asked.
///
/// # Errors
/// Where a log cannot be read.
pub async fn run(args: &Args, home: &Path) -> anyhow::Result<ExitCode> {
    let home = Home::open(home)?;
    let format = Format::of_stdout();
    let limit = usize::try_from(args.lines)?;
    let names = topology::names().chain([OWN_NAME]).filter(|name| {
        args.service
            .as_deref()
            .is_none_or(|service| service == *name)
    });
    let mut tails = Vec::new();
    let mut files = Vec::new();
    for name in names {
        let (lines, tail) = Tail::open(&home.logs().join(format!("{name}.log")), limit)?;
        tails.push(tail);
        files.push(lines);
    }
    let mut lines = merge(files);
    show(&lines.split_off(lines.len().saturating_sub(limit)), format);
    if !args.follow {
        return Ok(ExitCode::SUCCESS);
    }
    let mut stop = Stop::listen(false, false)?;
    loop {
        let fresh = tails
            .iter_mut()
            .map(Tail::more)
            .collect::<Result<Vec<_>, _>>()?;
        show(&merge(fresh), format);
        tokio::select! {
            _ = stop.next() => return Ok(ExitCode::SUCCESS),
            () = tokio::time::sleep(FOLLOW_EVERY) => {}
        }
    }
}

fn show(lines: &[Vec<u8>], format: Format) {
    let lines = lines.concat();
    match format {
        Format::Readable { colour } => super::print(&pretty::lines(&lines, colour)),
        Format::Json | Format::Silent => super::print(&lines),
    }
}

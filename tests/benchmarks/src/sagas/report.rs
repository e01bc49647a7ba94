//! The figures as tables in markdown.

use std::fmt::Write;

use kit::Engine;

use super::{Run, restate::Compared, takeover::Takeover, waiting::Waiting};
use crate::{
    machine::fsyncs_per_s,
    summary::{percentile, title},
};

/// CPU is told for this many sagas.
const SAGAS: f64 = 10_000.0;

/// Sagas per second on one engine.
pub(super) fn runs(engine: Engine, runs: &[Run]) -> String {
    let mut text = format!("## Sagas of four steps on {}\n\n", title(engine));
    let _ = writeln!(
        text,
        "The disk makes {:.0} single writes a second durable.\n",
        fsyncs_per_s(&std::env::temp_dir())
    );
    text += "| finished sagas in the table | in flight | sagas/s | p50 | p99 | commits per saga | WAL syncs per saga | CPU s per 10,000 | failed |\n";
    text += "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n";
    text + &runs.iter().map(row).collect::<String>()
}

/// Sagas that wait.
pub(super) fn waiting(waiting: &Waiting) -> String {
    format!(
        "{} sagas wait: {:.1} MiB resident; one that was due was called after {:.0} ms.\n",
        waiting.sagas,
        waiting.resident_kib as f64 / 1024.0,
        waiting.late.as_secs_f64() * 1000.0
    )
}

/// One of two replicas was killed.
pub(super) fn takeover(takeover: &Takeover) -> String {
    format!(
        "One of two replicas was killed with {} sagas under way: the other called the first after {:.1} s, the last after {:.1} s.\n",
        takeover.sagas,
        takeover.first.as_secs_f64(),
        takeover.last.as_secs_f64()
    )
}

fn row(run: &Run) -> String {
    let load = &run.load;
    format!(
        "| {} | {} | {:.0} | {:.1} ms | {:.1} ms | {:.2} | {} | {:.2} | {} |\n",
        run.history,
        load.at_a_time,
        load.per_s(),
        percentile(&load.latencies, 50),
        percentile(&load.latencies, 99),
        load.each(run.commits),
        run.wal_syncs
            .map_or("-".into(), |syncs| format!("{:.2}", load.each(syncs))),
        load.each(run.cpu_s) * SAGAS,
        load.failures
    )
}

/// Restate and this, side by side.
pub(super) fn comparison(compared: &[Compared]) -> String {
    let mut text = String::from("## Beside Restate\n\n");
    text += "| orchestrator | in flight | sagas/s | p50 | p99 | CPU s of the orchestrator per 10,000 | CPU s of the process that makes the calls, per 10,000 | failed |\n";
    text += "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n";
    for Compared {
        name,
        load,
        cpu_s,
        callers_cpu_s,
    } in compared
    {
        let callers = callers_cpu_s.map_or("the same process".into(), |cpu_s| {
            format!("{:.2}", load.each(cpu_s) * SAGAS)
        });
        let _ = writeln!(
            text,
            "| {name} | {} | {:.0} | {:.1} ms | {:.1} ms | {:.2} | {callers} | {} |",
            load.at_a_time,
            load.per_s(),
            percentile(&load.latencies, 50),
            percentile(&load.latencies, 99),
            load.each(*cpu_s) * SAGAS,
            load.failures
        );
    }
    text
}

//! The figures as tables in markdown.

use std::fmt::Write;

use kit::Engine;

use super::{COMPARED_CALLERS, events::Flow, units::Units};
use crate::summary::{percentile, title};

/// Units of work on one engine.
pub(super) fn units(
    engine: Engine,
    fsyncs_per_s: f64,
    runs: &[Units],
    pgbench: Option<f64>,
) -> String {
    let fsync_ms = 1000.0 / fsyncs_per_s;
    let alone = runs.iter().find(|run| run.load.at_a_time == 1);
    let mut text = format!("## Units of work on {}\n\n", title(engine));
    let _ = writeln!(
        text,
        "The disk makes {fsyncs_per_s:.0} single writes a second durable: one takes {fsync_ms:.2} ms.\n"
    );
    text += "| callers | units/s | times one caller | p50 | p99 | CPU per unit | failed |\n";
    text += "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n";
    for Units { load, cpu_s } in runs {
        let times = alone.map_or(f64::NAN, |alone| load.per_s() / alone.load.per_s());
        let _ = writeln!(
            text,
            "| {} | {:.0} | {times:.1} | {:.2} ms | {:.2} ms | {:.0} us | {} |",
            load.at_a_time,
            load.per_s(),
            percentile(&load.latencies, 50),
            percentile(&load.latencies, 99),
            cpu_s * 1e6,
            load.failures,
        );
    }
    if let Some(alone) = alone {
        let _ = writeln!(
            text,
            "\nA unit alone takes {:.2} ms more than one durable write of a page.",
            percentile(&alone.load.latencies, 50) - fsync_ms
        );
    }
    let compared = runs
        .iter()
        .find(|run| run.load.at_a_time == COMPARED_CALLERS);
    if let (Some(theirs), Some(ours)) = (pgbench, compared) {
        let _ = writeln!(
            text,
            "\npgbench with the same statements and {COMPARED_CALLERS} clients: {theirs:.0} units/s; ours are {:.0}% of that.",
            100.0 * ours.load.per_s() / theirs
        );
    }
    text
}

/// Events between two services.
pub(super) fn events(fsyncs_per_s: f64, flows: &[Flow]) -> String {
    let fsync_ms = 1000.0 / fsyncs_per_s;
    let mut text = format!(
        "Events from a commit to their committed effect in another service; an fsync takes {fsync_ms:.2} ms.\n\n"
    );
    text += "| events in the outbox before | idle p50 | idle p99 | events/s end to end | CPU per event |\n";
    text += "| ---: | ---: | ---: | ---: | ---: |\n";
    for flow in flows {
        let _ = writeln!(
            text,
            "| {} | {:.2} ms | {:.2} ms | {:.0} | {:.0} us |",
            flow.history,
            percentile(&flow.latencies, 50),
            percentile(&flow.latencies, 99),
            flow.events as f64 / flow.took.as_secs_f64(),
            flow.cpu_s * 1e6,
        );
    }
    text
}

//! The figures as tables in markdown.

use std::{fmt::Write, time::Duration};

use kit::Engine;

use crate::{Measured, load::Load, machine::Memory};

/// Everything that was measured on one engine.
pub(crate) fn tables(measured: &Measured) -> String {
    let engine = match measured.engine {
        Engine::Sqlite => "SQLite (synchronous=FULL)",
        Engine::Postgres => "PostgreSQL (synchronous_commit=on)",
    };
    let fsync_ms = 1000.0 / measured.fsyncs_per_s;
    let mut text = format!("## {engine}\n\n");
    let _ = writeln!(
        text,
        "Ready {} ms after `caravan up`, its first start with databases and sample catalogue to make. The disk makes {:.0} single writes a second durable: one takes {fsync_ms:.2} ms.\n",
        measured.ready_after_ms, measured.fsyncs_per_s
    );
    text += "| buyers | orders/s | p50 | p99 | p50 in fsyncs | commits per order | WAL syncs per order | orders/s that the disk allows | failed |\n";
    text += "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n";
    for load in &measured.loads {
        text += &row(load, measured.fsyncs_per_s, fsync_ms);
    }
    text + "\n" + &memory(&measured.idle, &measured.loaded)
}

fn row(load: &Load, fsyncs_per_s: f64, fsync_ms: f64) -> String {
    let rate = load.latencies.len() as f64 / load.length.as_secs_f64();
    let (p50, p99) = (
        percentile(&load.latencies, 50),
        percentile(&load.latencies, 99),
    );
    let syncs = load.wal_syncs_per_order.unwrap_or(load.commits_per_order);
    format!(
        "| {} | {rate:.1} | {p50:.1} ms | {p99:.1} ms | {:.0} | {:.2} | {} | {:.0} | {} |\n",
        load.buyers,
        p50 / fsync_ms,
        load.commits_per_order,
        load.wal_syncs_per_order
            .map_or("-".into(), |syncs| format!("{syncs:.2}")),
        fsyncs_per_s / syncs,
        load.failures
    )
}

/// Milliseconds that this share of the orders took at most.
fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let at = (sorted.len() * percent)
        .div_ceil(100)
        .saturating_sub(1)
        .min(last);
    sorted
        .get(at)
        .map_or(f64::NAN, |latency| latency.as_secs_f64() * 1000.0)
}

fn memory(idle: &[Memory], loaded: &[Memory]) -> String {
    let mib = |kib: u64| kib as f64 / 1024.0;
    let sum = |all: &[Memory]| mib(all.iter().map(|memory| memory.resident_kib).sum());
    let mut text =
        String::from("| process | idle, MiB | after the load, MiB |\n| --- | ---: | ---: |\n");
    for (idle, loaded) in idle.iter().zip(loaded) {
        let (idle_mib, loaded_mib) = (mib(idle.resident_kib), mib(loaded.resident_kib));
        let _ = writeln!(
            text,
            "| {} | {idle_mib:.1} | {loaded_mib:.1} |",
            idle.process
        );
    }
    let _ = writeln!(text, "| all | {:.1} | {:.1} |", sum(idle), sum(loaded));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let values: Vec<_> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&values, 50), 100.0);
        assert_eq!(percentile(&values, 99), 198.0);
        assert_eq!(percentile(&values[..1], 99), 1.0);
    }
}

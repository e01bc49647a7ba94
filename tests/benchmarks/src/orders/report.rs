//! The figures as tables in markdown.

use std::fmt::Write;

use super::{Measured, load::Load};
use crate::{
    machine::Memory,
    summary::{percentile, title},
};

/// Everything that was measured on one engine.
pub(crate) fn tables(measured: &Measured) -> String {
    let engine = title(measured.engine);
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

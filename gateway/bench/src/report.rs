//! Medians of all rounds, as tables in markdown.

use std::collections::BTreeMap;

/// What was seen of one proxy with one load in one round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// Seconds of CPU of the proxy for 100,000 requests, or messages of a stream.
    pub(crate) cpu_s: f64,
    /// Requests a second.
    pub(crate) rate: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// From a request to the first byte of its answer, of the slowest.
    pub(crate) first_ms: f64,
    pub(crate) resident_mib: f64,
}

/// Everything that was seen, by load and proxy, in the order in which they were first measured.
#[derive(Debug, Default)]
pub(crate) struct Report {
    order: Vec<(String, String)>,
    seen: BTreeMap<(String, String), Vec<Seen>>,
}

impl Report {
    pub(crate) fn add(&mut self, load: &str, proxy: &str, seen: Seen) {
        let key = (load.to_owned(), proxy.to_owned());
        if !self.seen.contains_key(&key) {
            self.order.push(key.clone());
        }
        self.seen.entry(key).or_default().push(seen);
    }

    fn median(&self, load: &str, proxy: &str, figure: impl Fn(&Seen) -> f64) -> Option<f64> {
        let seen = self.seen.get(&(load.to_owned(), proxy.to_owned()))?;
        let mut figures: Vec<f64> = seen.iter().map(figure).collect();
        figures.sort_unstable_by(f64::total_cmp);
        figures.get(figures.len() / 2).copied()
    }

    /// Prints one table of all figures and one of the ratios that the project holds itself to.
    pub(crate) fn print(&self) -> String {
        let mut text = String::from(
            "| load | proxy | CPU s per 100,000 | requests/s | p50 ms | p99 ms | first byte ms | resident MiB |\n\
             | --- | --- | --- | --- | --- | --- | --- | --- |\n",
        );
        for (load, proxy) in &self.order {
            let median =
                |figure: fn(&Seen) -> f64| self.median(load, proxy, figure).unwrap_or_default();
            text += &format!(
                "| {load} | {proxy} | {:.2} | {:.0} | {:.2} | {:.2} | {:.2} | {:.1} |\n",
                median(|seen| seen.cpu_s),
                median(|seen| seen.rate),
                median(|seen| seen.p50_ms),
                median(|seen| seen.p99_ms),
                median(|seen| seen.first_ms),
                median(|seen| seen.resident_mib),
            );
        }
        text += "\n| figure | seen | to reach |\n| --- | --- | --- |\n";
        for (name, load, proxy, other, figure, limit) in TARGETS {
            let ratio = self
                .median(load, proxy, figure)
                .zip(self.median(load, other, figure));
            let seen = ratio.map_or("not measured".to_owned(), |(ours, theirs)| {
                format!("{:.3}", ours / theirs)
            });
            text += &format!("| {name} | {seen} | at most {limit} |\n");
        }
        for load in [GET32, POST32] {
            let cpu_s = |proxy| self.median(load, proxy, |seen| seen.cpu_s);
            let seen = cpu_s(GATEWAY_ALL).zip(cpu_s(GATEWAY));
            let seen = seen.map_or("not measured".to_owned(), |(on, off)| {
                format!("{:.1} µs", (on - off) * MICROSECONDS_OF_EACH)
            });
            text += &format!("| what policies cost, {load} | {seen} | at most 5 µs |\n");
        }
        for proxy in [GATEWAY, GATEWAY_ALL] {
            let memory = self.median("GET, 128 connections", proxy, |seen| seen.resident_mib);
            let seen = memory.map_or("not measured".to_owned(), |mib| format!("{mib:.1} MiB"));
            text += &format!(
                "| resident memory at 128 connections, {proxy} | {seen} | at most 30 MiB |\n"
            );
        }
        text
    }
}

/// A second for 100,000 requests is this for one of them.
const MICROSECONDS_OF_EACH: f64 = 10.0;

pub(crate) const GATEWAY: &str = "gateway";
pub(crate) const GATEWAY_ALL: &str = "gateway, policies on";
pub(crate) const ENVOY: &str = "Envoy";
pub(crate) const FLOOR: &str = "floor";

type Target = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    fn(&Seen) -> f64,
    f64,
);

const GET32: &str = "GET, 32 connections";
const GET128: &str = "GET, 128 connections";
const POST32: &str = "POST, 32 connections";

const TARGETS: [Target; 8] = [
    (
        "CPU of GET, of Envoy's",
        GET32,
        GATEWAY,
        ENVOY,
        |seen| seen.cpu_s,
        0.18,
    ),
    (
        "CPU of GET, of the floor's",
        GET32,
        GATEWAY,
        FLOOR,
        |seen| seen.cpu_s,
        1.5,
    ),
    (
        "CPU of GET with policies, of Envoy's",
        GET32,
        GATEWAY_ALL,
        ENVOY,
        |seen| seen.cpu_s,
        0.25,
    ),
    (
        "CPU of POST, of Envoy's",
        POST32,
        GATEWAY,
        ENVOY,
        |seen| seen.cpu_s,
        0.15,
    ),
    (
        "CPU of POST, of the floor's",
        POST32,
        GATEWAY,
        FLOOR,
        |seen| seen.cpu_s,
        1.3,
    ),
    (
        "CPU of POST with policies, of Envoy's",
        POST32,
        GATEWAY_ALL,
        ENVOY,
        |seen| seen.cpu_s,
        0.2,
    ),
    (
        "p99 of GET at 32 connections, of Envoy's",
        GET32,
        GATEWAY,
        ENVOY,
        |seen| seen.p99_ms,
        0.4,
    ),
    (
        "p99 of GET at 128 connections, of Envoy's",
        GET128,
        GATEWAY,
        ENVOY,
        |seen| seen.p99_ms,
        0.25,
    ),
];

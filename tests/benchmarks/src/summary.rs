//! Figures from many samples.

use std::time::Duration;

use kit::Engine;

/// What a database is called in a heading, with its durability.
pub(crate) fn title(engine: Engine) -> &'static str {
    match engine {
        Engine::Sqlite => "SQLite (synchronous=FULL)",
        Engine::Postgres => "PostgreSQL (synchronous_commit=on)",
    }
}

/// Milliseconds that this share of the samples took at most; they are sorted, shortest first.
pub(crate) fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let at = (sorted.len() * percent)
        .div_ceil(100)
        .saturating_sub(1)
        .min(last);
    sorted
        .get(at)
        .map_or(f64::NAN, |latency| latency.as_secs_f64() * 1000.0)
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

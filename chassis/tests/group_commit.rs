//! Group commit counted in fsyncs, by strace: many units of work share one, and no unit is answered without one.

#[allow(dead_code)]
mod support;

use std::{
    env, fs,
    process::{Command, Stdio},
};

use futures::{StreamExt as _, stream};
use kit::Engine;
use support::{add, database, value};

/// Tells the traced process what to do: callers, then units, separated by a comma.
const TASK: &str = "CARAVAN_TEST_UNITS";
const CALLERS: usize = 128;

/// What runs under strace; nothing where nobody says how much.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traced() {
    let Ok(task) = env::var(TASK) else { return };
    let (callers, units) = task.split_once(',').expect("two numbers");
    let (callers, units): (usize, i64) = (
        callers.parse().expect("a number"),
        units.parse().expect("a number"),
    );
    let (db, _url) = database(Engine::Sqlite).await.expect("always there");
    stream::iter(0..units)
        .map(|_| db.write(|tx| async move { add(&tx, "traced", 1).await }))
        .buffer_unordered(callers)
        .for_each(|kept| async move { kept.expect("kept") })
        .await;
    assert_eq!(value(&db, "traced").await, units);
}

/// Fsyncs of a process that does so many units; `None` where processes cannot be traced here.
fn fsyncs(callers: usize, units: usize) -> Option<usize> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let log = folder.path().join("strace.log");
    let status = Command::new("strace")
        .args(["-f", "-e", "trace=fsync,fdatasync", "-o"])
        .arg(&log)
        .arg(env::current_exe().expect("this program"))
        .args(["--exact", "traced", "--nocapture"])
        .env(TASK, format!("{callers},{units}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let text = fs::read_to_string(&log).unwrap_or_default();
    if !status.is_ok_and(|status| status.success()) || !text.contains("exited") {
        eprintln!("SKIPPED: strace is not installed or may not trace");
        return None;
    }
    // A call that another thread interrupts takes two lines; only one of them begins it.
    let calls = text
        .lines()
        .filter(|line| line.contains("sync(") && !line.contains("resumed>"));
    Some(calls.count())
}

#[test]
fn units_side_by_side_share_fsyncs_and_units_alone_have_one_each() {
    let Some(opened) = fsyncs(1, 0) else { return };
    let alone = fsyncs(1, 40).expect("traced before") - opened;
    assert!(
        alone >= 40,
        "{alone} fsyncs for 40 units, one after another"
    );
    let together = fsyncs(CALLERS, 2_560).expect("traced before") - opened;
    assert!(
        (20..=640).contains(&together),
        "{together} fsyncs for 2560 units of {CALLERS} callers"
    );
}

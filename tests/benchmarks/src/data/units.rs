//! Units of work per second, and the same statements by pgbench.

use std::{
    fs,
    process::{self, Command},
    time::Duration,
};

use chassis::db::{Db, Error};

use super::tables::{any_account, enter};
use crate::{
    load,
    load::{Load, WARM_UP_PART},
    machine,
};

/// One run.
pub(super) struct Units {
    pub(super) load: Load,
    /// CPU seconds of this process for each unit of the run.
    pub(super) cpu_s: f64,
}

/// Lets this many callers do one unit after another.
pub(super) async fn run(db: &Db, callers: usize, length: Duration) -> Units {
    let db = db.clone();
    let one = move || {
        let db = db.clone();
        async move {
            let account = any_account();
            let done = db.write(|tx| async move { enter(&tx, account, 1).await });
            done.await.map_err(|error: Error| error).is_ok()
        }
    };
    load::run_in_tasks(callers, length / WARM_UP_PART, one.clone()).await;
    let before = machine::cpu_s(process::id());
    let load = load::run_in_tasks(callers, length, one).await;
    let cpu_s = load.each(machine::cpu_s(process::id()) - before);
    Units { load, cpu_s }
}

/// Units per second of the same statements in a script of pgbench; `None` where pgbench is not installed.
pub(super) fn pgbench(url: &str, callers: usize, length: Duration) -> Option<f64> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let script = folder.path().join("unit.sql");
    fs::write(
        &script,
        "\\set account random(1, 1000)\n\
         BEGIN;\n\
         INSERT INTO entries (account, amount) VALUES (:account, 1);\n\
         UPDATE accounts SET balance = balance + 1 WHERE id = :account;\n\
         COMMIT;\n",
    )
    .expect("the folder can be written");
    let output = Command::new("pgbench")
        .args(["--no-vacuum", "--protocol=prepared", "--jobs=2"])
        .arg(format!("--client={callers}"))
        .arg(format!("--time={}", length.as_secs().max(1)))
        .arg(format!("--file={}", script.display()))
        .arg(url)
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("tps = "))?;
    line.split(' ').next()?.parse().ok()
}

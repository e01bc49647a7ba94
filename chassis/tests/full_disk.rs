//! A disk that is full, for the database and for the broker: nothing that was acknowledged is lost, and all goes on by itself
//! when there is room. Needs to mount a small file system; where that is not allowed the tests say so and end.

#[allow(dead_code)]
mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use chassis::db::Db;
use kit::{Engine, Nats, wait::within};
use support::{
    add, database,
    mesh::{Ledger, Mesh, adjust, skus},
    value,
};
use tempfile::TempDir;

/// Longest time until all goes on.
const RECOVERED_WITHIN: Duration = Duration::from_secs(60);

/// A file system in memory with a given size. Ends with the value.
struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// `None` where this process may not mount.
    fn new(mebibytes: u32) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "tmpfs"])
            .arg(folder.path())
            .output();
        if !mounted.is_ok_and(|output| output.status.success()) {
            eprintln!("SKIPPED: a small file system cannot be mounted here");
            return None;
        }
        Some(Self { folder })
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Takes the room that is left but for some KiB; the file gives it back.
    fn fill(&self, left_kib: usize) -> PathBuf {
        let ballast = self.path().join("ballast");
        // Writing ends when the disk is full.
        let _ = fs::write(&ballast, vec![0; 64 << 20]);
        let file = fs::OpenOptions::new().write(true).open(&ballast);
        let file = file.expect("there");
        let length = file.metadata().expect("there").len();
        file.set_len(length.saturating_sub(left_kib as u64 * 1024))
            .expect("cut");
        ballast
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_of_the_database_refuses_and_recovers() {
    let Some(disk) = SmallDisk::new(8) else {
        return;
    };
    let url = format!("sqlite:{}", disk.path().join("test.db").display());
    let db = Db::open::<support::Migrator>(&url).await.expect("opens");
    let ballast = disk.fill(64);
    let (mut kept, mut refused) = (0i64, false);
    for number in 0..2_000 {
        let name = &format!("{number}-{}", "x".repeat(2_000));
        match db.write(|tx| async move { add(&tx, name, 1).await }).await {
            Ok(()) => kept += 1,
            Err(_) => {
                refused = true;
                break;
            }
        }
    }
    assert!(refused, "the disk was full after {kept} units");
    fs::remove_file(ballast).expect("removed");
    within(
        RECOVERED_WITHIN,
        "the database takes units again",
        || async {
            db.write(|tx| async move { add(&tx, "after", 1).await })
                .await
        },
    )
    .await;
    let sql = "SELECT COUNT(*) AS n FROM counters WHERE name <> 'after'";
    assert_eq!(
        support::number(&db, sql, []).await,
        kept,
        "what was answered is there"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_of_the_broker_holds_events_back_and_loses_none() {
    let Some(disk) = SmallDisk::new(24) else {
        return;
    };
    let (publisher, _a) = database(Engine::Sqlite).await.expect("always there");
    let (receiver, _b) = database(Engine::Sqlite).await.expect("always there");
    let mut mesh = Mesh::start_with(Nats::start_in(&disk.path().join("store")).await).await;
    let (ledger, skus) = (Ledger::default(), skus(4));
    mesh.relay(&publisher).await;
    mesh.consume(&receiver, ledger.consumer("ledger", &receiver))
        .await;
    for sku in &skus {
        adjust(&publisher, sku, 1).await.expect("kept");
    }
    ledger.reads(&skus, 1).await;
    let ballast = disk.fill(0);
    for round in 2..=200 {
        for sku in &skus {
            adjust(&publisher, sku, round)
                .await
                .expect("the service's own disk has room");
        }
    }
    assert_eq!(value(&publisher, "committed").await, 800);
    fs::remove_file(ballast).expect("removed");
    // A server that met a full disk has switched its JetStream off: its supervisor starts it again.
    mesh.nats.restart().await;
    ledger.reads(&skus, 200).await;
}

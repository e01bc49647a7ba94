//! What the machine has and what the mesh takes of it.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use kit::{World, rest::Rest};

/// How long the disk is asked to make single small writes durable.
const FSYNC_FOR: Duration = Duration::from_secs(2);
/// A write as a log appends it: one page.
const PAGE_BYTES: usize = 4096;

/// The unit of times in /proc/PID/stat, the same on every Linux that this runs on.
const TICKS_PER_S: f64 = 100.0;

/// Resident memory of one process.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    pub(crate) process: String,
    pub(crate) resident_kib: u64,
}

/// One line: cores, memory, kernel.
pub(crate) fn describe() -> String {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let memory_kib = field(&read("/proc/meminfo"), "MemTotal:");
    let model = read("/proc/cpuinfo")
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map(|rest| rest.trim_start_matches([' ', '\t', ':']).to_owned());
    format!(
        "Machine: {cores} cores ({}), {} GiB of memory, Linux {}. Buyers and mesh share it.\n",
        model.unwrap_or_else(|| "unknown".into()),
        memory_kib >> 20,
        read("/proc/sys/kernel/osrelease").trim(),
    )
}

/// How often in a second the disk below `folder` makes one more page of a file durable.
///
/// # Panics
/// Where the folder cannot be written.
pub(crate) fn fsyncs_per_s(folder: &Path) -> f64 {
    let path = folder.join("fsync.probe");
    let mut file = File::create(&path).expect("the mesh's home can be written");
    let page = [7; PAGE_BYTES];
    let began = Instant::now();
    let mut syncs = 0.0;
    while began.elapsed() < FSYNC_FOR {
        file.write_all(&page).expect("the disk has room");
        file.sync_data().expect("the disk syncs");
        syncs += 1.0;
    }
    let per_s = syncs / began.elapsed().as_secs_f64();
    let _ = fs::remove_file(path);
    per_s
}

/// Resident memory of every process of the mesh, `caravan up` itself first.
pub(crate) fn memory(world: &mut World) -> Vec<Memory> {
    let up = ("caravan up".to_owned(), world.mesh().pid());
    let others = world.status().processes;
    let others = others
        .into_iter()
        .filter_map(|process| Some((process.name, process.pid?)));
    std::iter::once(up)
        .chain(others)
        .map(|(process, pid)| Memory {
            process,
            resident_kib: field(&read(&format!("/proc/{pid}/status")), "VmRSS:"),
        })
        .collect()
}

/// CPU seconds that a process has used, in user and kernel mode.
///
/// # Panics
/// Where it is gone.
pub(crate) fn cpu_s(pid: u32) -> f64 {
    let stat = read(&format!("/proc/{pid}/stat"));
    // The program's name may hold spaces; the fields after it do not.
    let (_, fields) = stat.rsplit_once(')').expect("the process runs");
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: f64 = ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    ticks / TICKS_PER_S
}

/// Commits of a service to its database since it started, as its admin port tells.
pub(crate) async fn commits(admin: &Rest) -> f64 {
    let metrics = admin.get("/metrics").await.text;
    let samples = metrics
        .lines()
        .filter(|line| line.starts_with("caravan_db_commits_total"));
    samples
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

/// The number after a name in a file of /proc.
fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    number
        .and_then(|number| number.parse().ok())
        .unwrap_or_default()
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

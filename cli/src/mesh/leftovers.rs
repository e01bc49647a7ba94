//! Processes of a mesh whose `caravan up` was killed. They carry the mesh's mark in their environment, so they are found
//! without trusting a record, and a number that now means another process is never signalled.

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::environment::{MESH_MARK, PROCESS_MARK};
use super::home::Home;
use super::topology::{self, Role};

/// A process, held by a descriptor that keeps meaning it after it ended.
#[derive(Debug)]
pub struct Held {
    /// What it is in the mesh.
    pub name: String,
    /// Its number.
    pub pid: u32,
    descriptor: OwnedFd,
}

impl Held {
    /// Takes hold of process `pid` under `name`. None where there is none.
    #[must_use]
    pub fn take(pid: u32, name: &str) -> Option<Self> {
        let raw = Pid::from_raw(i32::try_from(pid).ok()?)?;
        let descriptor = pidfd_open(raw, PidfdFlags::empty()).ok()?;
        Some(Self {
            name: name.to_owned(),
            pid,
            descriptor,
        })
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        // It may have ended by itself.
        let _ = pidfd_send_signal(&self.descriptor, Signal::TERM);
    }

    /// Sends SIGKILL.
    pub fn kill(&self) {
        let _ = pidfd_send_signal(&self.descriptor, Signal::KILL);
    }

    /// Waits until it ended, at most until `deadline`. Whether it did.
    #[must_use]
    pub fn wait(&self, deadline: Instant) -> bool {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let limit = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(left.subsec_nanos()),
            };
            match poll(
                &mut [PollFd::new(&self.descriptor, PollFlags::IN)],
                Some(&limit),
            ) {
                Ok(ready) => return ready > 0,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    }
}

/// Every living process of the home's mesh.
#[must_use]
pub fn find(home: &Home) -> Vec<Held> {
    let mark = [
        MESH_MARK.as_bytes(),
        b"=",
        home.root().as_os_str().as_bytes(),
    ]
    .concat();
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| {
        // Held before it is looked at: the number cannot come to mean another process in between.
        let held = Held::take(pid, "")?;
        let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
        let mut variables = environment.split(|byte| *byte == 0);
        variables
            .clone()
            .any(|variable| variable == mark)
            .then_some(())?;
        let name = variables.find_map(|variable| {
            variable
                .strip_prefix(PROCESS_MARK.as_bytes())?
                .strip_prefix(b"=")
        })?;
        Some(Held {
            name: String::from_utf8_lossy(name).into_owned(),
            ..held
        })
    })
    .collect()
}

/// Stops them in the order of draining, each group with `patience` before SIGKILL. Their names.
#[must_use]
pub fn stop(home: &Home, patience: Duration) -> Vec<String> {
    let left = find(home);
    // A process that a later version no longer knows is stopped with the services.
    let role = |held: &Held| topology::role(&held.name).unwrap_or(Role::Service);
    for phase in Role::DRAIN_ORDER {
        let group: Vec<_> = left.iter().filter(|held| role(held) == phase).collect();
        group.iter().for_each(|held| held.terminate());
        let deadline = Instant::now() + patience;
        for held in group {
            if !held.wait(deadline) {
                held.kill();
                // The kernel ends it at once unless it hangs in a device.
                let _ = held.wait(Instant::now() + Duration::from_secs(1));
            }
        }
    }
    left.into_iter().map(|held| held.name).collect()
}

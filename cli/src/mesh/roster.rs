//! The state of the running mesh, kept in its file at every change.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::home::Home;
use super::state::{Phase, ProcessState, State};
use super::topology::Topology;

/// What runs now. Shared by all who supervise.
#[derive(Debug)]
pub struct Roster {
    path: PathBuf,
    state: Mutex<State>,
}

impl Roster {
    /// A roster of which nothing runs yet, written at once.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn new(home: &Home, topology: &Topology) -> anyhow::Result<Self> {
        let state = State::new(topology);
        state.write(&home.state())?;
        Ok(Self {
            path: home.state(),
            state: Mutex::new(state),
        })
    }

    /// A copy of the state.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Notes how far the mesh is.
    pub fn phase(&self, phase: Phase, ready_after_ms: Option<u64>) {
        self.change(|state| {
            state.phase = phase;
            state.ready_after_ms = ready_after_ms.or(state.ready_after_ms);
        });
    }

    /// Notes something about one process.
    pub fn process(&self, name: &str, note: impl FnOnce(&mut ProcessState)) {
        self.change(|state| {
            if let Some(process) = state
                .processes
                .iter_mut()
                .find(|process| process.name == name)
            {
                note(process);
            }
        });
    }

    /// Removes the file: nothing runs any more.
    pub fn clear(&self) {
        let _ = std::fs::remove_file(&self.path);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        // The file only informs. A full disk must not end a mesh that runs, and the next change writes it again.
        let _ = state.write(&self.path);
    }
}

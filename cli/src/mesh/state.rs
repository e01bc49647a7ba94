//! What runs now, as a file that other commands read.

use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::topology::{Role, Topology};

/// How far a mesh is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Not every process answers yet.
    Starting,
    /// Every readiness check answered and the catalogue is loaded.
    Ready,
    /// Being stopped.
    Draining,
}

/// One mesh.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// How far it is.
    pub phase: Phase,
    /// The `caravan up` that runs it.
    pub pid: u32,
    /// First port.
    pub port_base: u16,
    /// Base URL of REST.
    pub gateway_url: String,
    /// From start to ready, in milliseconds.
    pub ready_after_ms: Option<u64>,
    /// Every process of the topology.
    pub processes: Vec<ProcessState>,
}

/// One process of a mesh.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessState {
    /// Its name.
    pub name: String,
    /// None while it is down.
    pub pid: Option<u32>,
    /// RFC 3339.
    pub start_time: Option<String>,
    /// `host:port`, of services.
    pub grpc: Option<String>,
    /// `host:port`, of gateway and provider.
    pub http: Option<String>,
    /// `host:port`, of the broker.
    pub nats: Option<String>,
    /// `host:port`.
    pub admin: Option<String>,
    /// How often it was started again.
    pub restarts: u32,
}

impl State {
    /// A mesh of which nothing runs yet.
    #[must_use]
    pub fn new(topology: &Topology) -> Self {
        let gateway = topology.only(Role::Gateway);
        let processes = topology.nodes.iter().map(|node| {
            let address =
                |roles: &[Role]| roles.contains(&node.role).then(|| node.address.to_string());
            ProcessState {
                name: node.name.to_owned(),
                pid: None,
                start_time: None,
                grpc: address(&[Role::Service]),
                http: address(&[Role::Gateway, Role::Provider]),
                nats: address(&[Role::Broker]),
                admin: node.admin.map(|admin| admin.to_string()),
                restarts: 0,
            }
        });
        Self {
            phase: Phase::Starting,
            pid: std::process::id(),
            port_base: gateway.address.port(),
            gateway_url: gateway.location(),
            ready_after_ms: None,
            processes: processes.collect(),
        }
    }

    /// Reads the file. None where there is none.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn read(path: &Path) -> anyhow::Result<Option<Self>> {
        match std::fs::read(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            read => {
                let bytes = read.with_context(|| format!("cannot read {}", path.display()))?;
                serde_json::from_slice(&bytes)
                    .map(Some)
                    .with_context(|| format!("cannot understand {}", path.display()))
            }
        }
    }

    /// Replaces the file as a whole: a reader sees the old state or the new one.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let next = path.with_extension("next");
        std::fs::write(&next, serde_json::to_vec_pretty(self)?)
            .and_then(|()| std::fs::rename(&next, path))
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        assert_eq!(State::read(&path).unwrap(), None);
        let state = State::new(&Topology::new(8080).unwrap());
        state.write(&path).unwrap();
        assert_eq!(State::read(&path).unwrap(), Some(state));
    }
}

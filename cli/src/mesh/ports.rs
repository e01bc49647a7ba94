//! Whether every port of the mesh is free, asked before anything starts.

use std::io::ErrorKind;
use std::net::TcpListener;

use anyhow::{Context as _, bail};

use super::topology::{Node, Topology};

/// Checks every port by listening on it for a moment.
///
/// # Errors
/// Names the first taken port and who would have listened there.
pub fn check(topology: &Topology) -> anyhow::Result<()> {
    for (address, purpose) in topology.nodes.iter().flat_map(Node::ports) {
        match TcpListener::bind(address) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                bail!(
                    "port {} ({purpose}) is taken by another process: free it or choose another --port-base",
                    address.port()
                )
            }
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("cannot listen on {address} ({purpose})"));
            }
        }
    }
    Ok(())
}

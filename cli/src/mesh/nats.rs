//! The broker's configuration, as far as its version understands it.

use std::path::Path;

use anyhow::{Context as _, ensure};
use tokio::process::Command;

use super::home::Home;
use super::topology::Node;

/// Memory streams are not used; the default would reserve most of the machine.
const MAX_MEMORY_STORE_BYTES: u64 = 64 << 20;

/// Major and minor version of nats-server.
pub type Version = (u32, u32);

/// The first version that can fsync before it acknowledges; older ones refuse the option.
const SYNC_ALWAYS_SINCE: Version = (2, 10);

/// Asks `program` for its version.
///
/// # Errors
/// Where it does not run or says something else.
pub async fn version(program: &Path) -> anyhow::Result<Version> {
    let output = Command::new(program)
        .arg("--version")
        .output()
        .await
        .with_context(|| format!("cannot run {}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "`{} --version` failed: {}",
        program.display(),
        output.status
    );
    parse(&text).with_context(|| {
        format!(
            "`{} --version` answered {:?}",
            program.display(),
            text.trim()
        )
    })
}

/// `nats-server: v2.9.10` -> (2, 9).
fn parse(text: &str) -> Option<Version> {
    let (_, version) = text.trim().rsplit_once('v')?;
    let mut parts = version.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??))
}

/// Writes the broker's configuration into the home.
///
/// # Errors
/// Where the file cannot be written.
pub fn configure(home: &Home, node: &Node, version: Version) -> anyhow::Result<()> {
    let path = home.nats_config();
    std::fs::write(&path, config(home, node, version))
        .with_context(|| format!("cannot write {}", path.display()))
}

fn config(home: &Home, node: &Node, version: Version) -> String {
    let store = serde_json::Value::from(home.nats_store().to_string_lossy());
    let sync = if version >= SYNC_ALWAYS_SINCE {
        "  sync_interval: always\n"
    } else {
        ""
    };
    format!(
        "# Written by `caravan up` at every start.\nlisten: \"{}\"\njetstream {{\n  store_dir: {store}\n  max_memory_store: {MAX_MEMORY_STORE_BYTES}\n{sync}}}\n",
        node.address
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::topology::{Role, Topology};

    #[test]
    fn only_versions_that_know_it_are_told_to_sync_always() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::create(folder.path()).unwrap();
        let topology = Topology::new(8080).unwrap();
        let broker = topology.only(Role::Broker);
        assert_eq!(parse("nats-server: v2.9.10\n"), Some((2, 9)));
        assert_eq!(parse("nats-server: v2.14.0-beta.1\n"), Some((2, 14)));
        assert_eq!(parse("nothing"), None);
        assert!(!config(&home, broker, (2, 9)).contains("sync_interval"));
        assert!(config(&home, broker, (2, 10)).contains("  sync_interval: always\n}"));
        assert!(config(&home, broker, (2, 9)).contains("listen: \"127.0.0.1:8082\""));
    }
}

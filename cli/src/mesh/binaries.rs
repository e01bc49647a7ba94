//! Where the programs of a mesh are.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::topology::{Node, Role};

/// Where Debian puts servers; not in the PATH of everybody who may run them.
const SYSTEM_FOLDERS: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/usr/local/bin"];

/// The folder that this program itself is in: the others are built beside it.
///
/// # Errors
/// Where the system does not tell.
pub fn own_folder() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe().context("cannot find the own program")?;
    Ok(program.parent().map(Path::to_owned).unwrap_or_default())
}

/// The program of `node`: in `folder`, or for the broker wherever the system has it.
///
/// # Errors
/// Where it is missing, with what to do about it.
pub fn find(node: &Node, folder: &Path) -> anyhow::Result<PathBuf> {
    let beside = folder.join(node.name);
    if is_program(&beside) {
        return Ok(beside);
    }
    if node.role != Role::Broker {
        bail!(
            "the program `{}` is not in {}: build it with `cargo build --release --bins`, or say --bin-dir",
            node.name,
            folder.display()
        );
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    in_path(node.name, &path).with_context(|| {
        format!(
            "{0} is not installed: `apt-get install {0}`, or put its program into {1}",
            node.name,
            folder.display()
        )
    })
}

fn in_path(name: &str, path: &OsStr) -> Option<PathBuf> {
    let folders = std::env::split_paths(path).chain(SYSTEM_FOLDERS.iter().map(PathBuf::from));
    folders
        .map(|folder| folder.join(name))
        .find(|program| is_program(program))
}

fn is_program(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::topology::Topology;

    #[test]
    fn a_missing_program_is_named_with_advice() {
        let folder = tempfile::tempdir().unwrap();
        let topology = Topology::new(8080).unwrap();
        let missing = find(topology.only(Role::Gateway), folder.path())
            .unwrap_err()
            .to_string();
        assert!(
            missing.contains("`gateway`") && missing.contains("cargo build"),
            "{missing}"
        );
        std::fs::write(folder.path().join("gateway"), "").unwrap();
        find(topology.only(Role::Gateway), folder.path()).unwrap_err();
    }

    #[test]
    fn a_missing_broker_is_named_with_its_package() {
        let folder = tempfile::tempdir().unwrap();
        let topology = Topology::new(8080).unwrap();
        let broker = Node {
            name: "no-such-broker",
            ..topology.only(Role::Broker).clone()
        };
        let missing = find(&broker, folder.path()).unwrap_err().to_string();
        assert!(
            missing
                .starts_with("no-such-broker is not installed: `apt-get install no-such-broker`"),
            "{missing}"
        );
    }

    #[test]
    fn servers_are_found_although_the_path_leaves_their_folder_out() {
        let found = in_path("nats-server", OsStr::new("/nowhere"));
        assert!(found.is_some_and(|program| program.starts_with("/usr")));
    }
}

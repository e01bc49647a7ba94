//! Blocks of ports that no other test process uses at the same time.

use std::{
    env,
    fs::{self, File, OpenOptions},
    net::TcpListener,
    process,
};

/// Ports in a block; more than a mesh listens on.
const BLOCK_PORTS: u16 = 40;
/// The first port of the first block.
const FIRST_PORT: u16 = 20_000;
/// Blocks end below the range that outgoing connections take their ports from (32768 on Linux).
const BLOCKS: u16 = 300;

/// A block of free ports, held by a locked file until the value ends.
#[derive(Debug)]
pub(crate) struct PortBlock {
    /// The block's first port.
    pub(crate) base: u16,
    _lock: File,
}

impl PortBlock {
    /// Takes a block that no other process holds and whose ports nobody listens on.
    ///
    /// # Panics
    /// Where every block is taken.
    pub(crate) fn take() -> Self {
        let locks = env::temp_dir().join("caravan-test-ports");
        fs::create_dir_all(&locks).expect("a folder for port locks");
        // Processes start their search at different blocks.
        let first = u16::try_from(process::id() % u32::from(BLOCKS)).unwrap_or_default();
        (0..BLOCKS)
            .map(|step| FIRST_PORT + (first + step) % BLOCKS * BLOCK_PORTS)
            .find_map(|base| {
                let lock = OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(locks.join(format!("{base}.lock")))
                    .expect("a port lock opens");
                lock.try_lock().ok()?;
                let free = (base..base + BLOCK_PORTS)
                    .all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok());
                free.then_some(Self { base, _lock: lock })
            })
            .expect("one of the port blocks is free")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_blocks_share_no_port() {
        let one = PortBlock::take();
        let other = PortBlock::take();
        assert!(one.base.abs_diff(other.base) >= BLOCK_PORTS);
    }
}

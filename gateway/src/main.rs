//! The gateway's process.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// A request makes some dozens of small allocations that live as long as it does.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    gateway::run::run()
}

//! The `caravan` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    caravan::main()
}

//! The orchestrator's process.

use std::process::ExitCode;

use saga::config::Config;

fn main() -> ExitCode {
    chassis::run("saga", |config: Config, kit| async move {
        saga::service(config, kit)
            .await?
            .serve() // Drains on SIGTERM.
            .await
    })
}

//! `caravan up --detach`: a `caravan up` in the background, and this process only until it is ready.

use std::ffi::OsString;
use std::path::Path;
use std::process::{ExitCode, Stdio};

use anyhow::{Context as _, bail};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};

use super::report::Report;
use super::stop::Stop;
use super::up::{self, Args};
use crate::mesh::home::Home;
use crate::mesh::process::terminate;
use crate::mesh::readiness::POLL_EVERY;
use crate::mesh::state::{Phase, State};

/// The complaint of a `caravan up` is one line.
const MAX_COMPLAINT_BYTES: u64 = 16 << 10;

/// Starts the mesh and returns when it is ready.
///
/// # Errors
/// What the background process complained about; then nothing runs any more.
pub async fn run(args: &Args, home: &Path) -> anyhow::Result<ExitCode> {
    let home = Home::create(home)?;
    let mut stop = Stop::listen(false, false)?;
    let mut child = Command::new(std::env::current_exe().context("cannot find the own program")?)
        .args(arguments(args, &home))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        // Out of reach of this terminal's Ctrl-C.
        .process_group(0)
        .spawn()
        .context("cannot start in the background")?;
    tokio::select! {
        ready = ready(&home, child.id()) => {
            super::print(Report::new(&ready?, &home).text().as_bytes());
            Ok(ExitCode::SUCCESS)
        }
        complaint = complaint(&mut child) => bail!("{}", complaint?),
        reason = stop.next() => {
            terminate(&child);
            child.wait().await?;
            bail!("stopped by {reason} before the mesh was ready");
        }
    }
}

async fn ready(home: &Home, pid: Option<u32>) -> anyhow::Result<State> {
    loop {
        match State::read(&home.state())? {
            // An older file may speak of an older mesh.
            Some(state) if Some(state.pid) == pid && state.phase == Phase::Ready => {
                return Ok(state);
            }
            _ => tokio::time::sleep(POLL_EVERY).await,
        }
    }
}

async fn complaint(child: &mut Child) -> anyhow::Result<String> {
    let mut text = String::new();
    if let Some(stderr) = child.stderr.as_mut() {
        stderr
            .take(MAX_COMPLAINT_BYTES)
            .read_to_string(&mut text)
            .await?;
    }
    let end = child.wait().await?;
    let line = text.trim().trim_start_matches("caravan: ");
    Ok(if line.is_empty() {
        format!("the background process ended: {end}")
    } else {
        line.to_owned()
    })
}

/// The same command line for the process that stays.
fn arguments(args: &Args, home: &Home) -> Vec<OsString> {
    let up::Args {
        port_base,
        detach: _,
        no_seed,
        postgres,
        bin_dir,
        until_stdin_closes: _,
        drain_timeout,
        ready_timeout,
        background: _,
    } = args;
    let mut line: Vec<OsString> = vec![
        "--home".into(),
        home.root().into(),
        "up".into(),
        "--background".into(),
    ];
    line.extend(["--port-base".into(), port_base.to_string().into()]);
    line.extend([
        "--drain-timeout".into(),
        humantime::format_duration(*drain_timeout)
            .to_string()
            .into(),
    ]);
    line.extend([
        "--ready-timeout".into(),
        humantime::format_duration(*ready_timeout)
            .to_string()
            .into(),
    ]);
    line.extend(no_seed.then(|| "--no-seed".into()));
    line.extend(
        postgres
            .iter()
            .flat_map(|template| ["--postgres".into(), template.as_str().into()]),
    );
    line.extend(
        bin_dir
            .iter()
            .flat_map(|folder| ["--bin-dir".into(), folder.into()]),
    );
    line
}

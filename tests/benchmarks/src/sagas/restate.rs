//! Restate's single-node server with a workflow of the same four calls, against participants of the same kind.

use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use kit::{
    Engine,
    rest::{Rest, try_send},
    wait::{until, within},
};
use uuid::Uuid;

use super::{Run, participant::Participant};
use crate::{load, load::Load, machine, summary::title};

/// Longest time until the server is ready; the first start provisions its cluster of one.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// One row of the comparison.
pub(super) struct Compared {
    pub(super) name: String,
    pub(super) load: Load,
    /// CPU seconds of the orchestrator.
    pub(super) cpu_s: f64,
    /// CPU seconds of the process that makes the calls, where that is another one.
    pub(super) callers_cpu_s: Option<f64>,
}

impl Compared {
    pub(super) fn ours(engine: Engine, run: &Run) -> Self {
        Self {
            name: format!("this, {}", title(engine)),
            load: run.load.clone(),
            cpu_s: run.cpu_s,
            callers_cpu_s: None,
        }
    }
}

/// A process that ends with its value.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs the server and the service that lie in `folder`.
///
/// # Panics
/// Where they do not work.
pub(super) async fn measure(folder: &Path, in_flight: usize, length: Duration) -> Compared {
    let participant = Participant::start().await;
    let home = tempfile::tempdir().expect("a temporary folder");
    let [ingress, admin, node, service] = ports();
    let server = folder.join("restate-server");
    let version = version(&server);
    let server = Command::new(server)
        .current_dir(home.path())
        .arg("--no-logo")
        .env("RESTATE_BASE_DIR", home.path())
        // Usage reporting.
        .env("RESTATE_DISABLE_TELEMETRY", "true")
        .env("DO_NOT_TRACK", "1")
        .env("RESTATE_LISTEN_MODE", "tcp")
        .env("RESTATE_BIND_ADDRESS", format!("127.0.0.1:{node}"))
        .env(
            "RESTATE_ADVERTISED_ADDRESS",
            format!("http://127.0.0.1:{node}"),
        )
        .env(
            "RESTATE_INGRESS__BIND_ADDRESS",
            format!("127.0.0.1:{ingress}"),
        )
        .env("RESTATE_ADMIN__BIND_ADDRESS", format!("127.0.0.1:{admin}"))
        .env("RESTATE_LOG_FILTER", "warn")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let server = Process(server.expect("the server starts"));
    let caller = Command::new(folder.join("purchase"))
        .arg(format!("127.0.0.1:{service}"))
        .arg(participant.url())
        .stdin(Stdio::null())
        .spawn();
    let caller = Process(caller.expect("the service starts"));

    let (admin, ingress) = (
        Rest::new(format!("http://127.0.0.1:{admin}")),
        Rest::new(format!("http://127.0.0.1:{ingress}")),
    );
    let address = serde_json::json!({"uri": format!("http://127.0.0.1:{service}")});
    within(READY_WITHIN, "the service is registered", || async {
        let request = admin.request("POST".parse().expect("a method"), "/deployments");
        match try_send(request.json(&address)).await {
            Ok(answer) if answer.status < 300 => Ok(()),
            Ok(answer) => Err(answer.text),
            Err(error) => Err(error.to_string()),
        }
    })
    .await;
    let one = || async {
        let path = format!("/Purchase/{}/run", Uuid::now_v7());
        let request = ingress.request("POST".parse().expect("a method"), &path);
        let answer = try_send(request.json("order")).await;
        answer.is_ok_and(|answer| answer.status < 300)
    };
    until("a workflow ends well", || async {
        if one().await { Ok(()) } else { Err("not yet") }
    })
    .await;
    load::warm_up(in_flight, length, one).await;
    let cpu_s = || [&server, &caller].map(|process| machine::cpu_s(process.0.id()));
    let before = cpu_s();
    let load = load::run(in_flight, length, one).await;
    let after = cpu_s();
    Compared {
        name: format!("{version}, single node, its defaults (log server's WAL with fsync)"),
        load,
        cpu_s: after[0] - before[0],
        callers_cpu_s: Some(after[1] - before[1]),
    }
}

fn version(server: &Path) -> String {
    let output = Command::new(server).arg("--version").output();
    let output = output.expect("the server runs").stdout;
    String::from_utf8_lossy(&output).trim().to_owned()
}

/// Free ports; held together, so that they differ.
fn ports() -> [u16; 4] {
    let listeners = [(); 4].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("bound").port())
}

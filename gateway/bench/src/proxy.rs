//! The processes that are measured, each on a core of its own where the machine has two.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};

/// The core that proxies have for themselves; load and backend run on the other.
const PROXY_CORE: &str = "1";
/// Longest time to start.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// Clock ticks of /proc a second, on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// A child that ends with its handle.
pub(crate) struct Process {
    child: Child,
    pub(crate) port: u16,
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already gone, or going.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    /// Starts a program that tells its port in the first line on stdout.
    pub(crate) fn start(mut command: Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start")?;
        let stdout = child.stdout.take().context("no stdout")?;
        let mut reader = BufReader::new(stdout);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let port = line
            .trim()
            .rsplit(':')
            .next()
            .and_then(|port| port.parse().ok());
        let port = port.with_context(|| format!("no port in {line:?}"))?;
        // Whatever it says later must not fill the pipe.
        std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
        Ok(Self { child, port })
    }

    /// Starts a program that listens on a port that it was told.
    pub(crate) fn start_on(mut command: Command, port: u16) -> anyhow::Result<Self> {
        let child = command
            .stdout(Stdio::null())
            .spawn()
            .context("cannot start")?;
        let mut process = Self { child, port };
        let start = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = process.child.try_wait()?;
            ensure!(
                ended.is_none() && start.elapsed() < START_TIMEOUT,
                "does not start"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(process)
    }

    /// Seconds of CPU that it has used, user and system.
    pub(crate) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields = stat.rsplit(')').next().context("no fields")?;
        let mut fields = fields.split_whitespace().skip(11);
        let mut ticks = || fields.next().and_then(|field| field.parse::<f64>().ok());
        let (user, system) = (ticks().context("utime")?, ticks().context("stime")?);
        Ok((user + system) / TICKS_PER_SECOND)
    }

    /// Resident memory in MiB.
    pub(crate) fn resident_mib(&self) -> anyhow::Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok());
        Ok(kib.context("VmRSS")? / 1024.0)
    }
}

/// A command on the core of proxies.
pub(crate) fn pinned(program: &Path) -> Command {
    if std::thread::available_parallelism().is_ok() && crate::has_two_cores() {
        let mut command = Command::new("taskset");
        command.args(["-c", PROXY_CORE]).arg(program);
        return command;
    }
    Command::new(program)
}

/// The gateway with one worker.
pub(crate) fn gateway(
    program: &Path,
    descriptors: &Path,
    backend: u16,
    options: &[String],
) -> anyhow::Result<Process> {
    let mut command = pinned(program);
    command
        .args([
            "--listen",
            "127.0.0.1:0",
            "--worker-threads",
            "1",
            "--log",
            "warn",
            "--default-access",
            "public",
        ])
        .arg("--descriptor-set")
        .arg(descriptors)
        .arg("--upstream")
        .arg(format!("http://127.0.0.1:{backend}"))
        .args(options);
    Process::start(command)
}

/// The proxy that only forwards bytes.
pub(crate) fn floor(backend: u16) -> anyhow::Result<Process> {
    let mut command = pinned(&std::env::current_exe()?);
    command.arg("floor").arg(backend.to_string());
    Process::start(command)
}

/// Envoy with its grpc_json_transcoder and one worker.
pub(crate) fn envoy(
    program: &Path,
    descriptors: &Path,
    folder: &Path,
    backend: u16,
) -> anyhow::Result<Process> {
    let port = std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port();
    let config: PathBuf = folder.join("envoy.yaml");
    let text = ENVOY
        .replace("LISTEN_PORT", &port.to_string())
        .replace("BACKEND_PORT", &backend.to_string())
        .replace("DESCRIPTORS", &descriptors.display().to_string());
    std::fs::write(&config, text)?;
    let mut command = pinned(program);
    command.arg("-c").arg(&config);
    command.args(["--concurrency", "1", "-l", "error", "--disable-hot-restart"]);
    Process::start_on(command, port)
}

const ENVOY: &str = r#"
static_resources:
  listeners:
  - address: {socket_address: {address: 127.0.0.1, port_value: LISTEN_PORT}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: bench
          codec_type: AUTO
          route_config:
            virtual_hosts:
            - name: bench
              domains: ["*"]
              routes:
              - match: {prefix: "/"}
                route: {cluster: backend, timeout: 120s}
          http_filters:
          - name: envoy.filters.http.grpc_json_transcoder
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder
              proto_descriptor: "DESCRIPTORS"
              services: ["bench.v1.BenchService"]
              max_response_body_size: 67108864
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
  - name: backend
    type: STATIC
    circuit_breakers: {thresholds: [{max_connections: 10000, max_pending_requests: 10000, max_requests: 10000}]}
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment:
      cluster_name: backend
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: BACKEND_PORT}}}
"#;

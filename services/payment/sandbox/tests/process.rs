//! The sandbox as a process: starts, logs JSON, drains on SIGTERM, survives kill -9.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

const KEY: &str = "sk_test_process";
const EXIT_LIMIT: Duration = Duration::from_secs(10);

struct Process {
    child: Child,
    log: BufReader<ChildStdout>,
    url: String,
}

impl Process {
    fn start(dir: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_payment-sandbox"))
            .env("DATA_DIR", dir)
            .env("PROVIDER_KEY", KEY)
            .env("LOG_FORMAT", "json")
            .env_remove("RUST_LOG")
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary");
        let mut log = BufReader::new(child.stdout.take().expect("piped"));
        let ready = read_line(&mut log);
        assert_eq!(
            (&ready["message"], &ready["service"], &ready["level"]),
            (&"ready".into(), &"payment-sandbox".into(), &"INFO".into())
        );
        let url = format!("http://{}", ready["address"].as_str().expect("an address"));
        Self { child, log, url }
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([name, &self.child.id().to_string()])
            .status();
        assert!(sent.expect("kill runs").success());
    }

    fn exit(&mut self) -> Option<i32> {
        let deadline = Instant::now() + EXIT_LIMIT;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("our own child") {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("did not exit within {EXIT_LIMIT:?}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_line(log: &mut impl BufRead) -> Value {
    let mut line = String::new();
    log.read_line(&mut line).expect("a log line");
    assert!(!line.contains(KEY), "the key stands in a log line");
    serde_json::from_str(&line).expect("one JSON object a line")
}

async fn hold(url: &str) -> reqwest::Response {
    let form = [
        ("amount", "700"),
        ("currency", "eur"),
        ("payment_method", "pm_card_visa"),
        ("confirm", "true"),
        ("capture_method", "manual"),
        ("metadata[order_id]", "o-1"),
    ];
    let request = reqwest::Client::new().post(format!("{url}/v1/payment_intents"));
    request
        .bearer_auth(KEY)
        .form(&form)
        .send()
        .await
        .expect("an answer")
}

async fn held_minor(url: &str) -> i64 {
    let ledger: Value = reqwest::get(format!("{url}/ledger"))
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    ledger["totals"]["heldMinor"].as_i64().expect("a number")
}

#[tokio::test]
async fn drains_on_sigterm_and_exits_0() {
    let dir = TempDir::new().expect("a folder");
    let mut process = Process::start(dir.path());
    let ready = reqwest::get(format!("{}/readyz", process.url))
        .await
        .expect("an answer");
    assert!(ready.status().is_success());
    assert!(hold(&process.url).await.status().is_success());
    process.signal("-TERM");
    assert_eq!(process.exit(), Some(0));
    assert_eq!(read_line(&mut process.log)["message"], "draining");
    assert_eq!(read_line(&mut process.log)["message"], "stopped");
}

#[tokio::test]
async fn what_it_answered_survives_kill_9() {
    let dir = TempDir::new().expect("a folder");
    let mut process = Process::start(dir.path());
    assert!(hold(&process.url).await.status().is_success());
    process.signal("-KILL");
    assert_eq!(process.exit(), None);
    drop(process);

    let process = Process::start(dir.path());
    assert_eq!(held_minor(&process.url).await, 700);
}

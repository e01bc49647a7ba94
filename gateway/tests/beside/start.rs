//! What is wrong in the file is told at the start, with its line.

use std::process::Stdio;

use tokio::{process::Command, time::timeout};

use crate::notes::{Gateway, PATIENCE, folder};

/// The gateway as a process, with a file of policies.
pub(crate) async fn gateway(upstreams: &[&str], yaml: &str) -> (Gateway, tempfile::TempDir) {
    let (folder, file) = folder();
    let policies = folder.path().join("p.yaml");
    std::fs::write(&policies, yaml).expect("a file");
    let (file, policies) = (file.display().to_string(), policies.display().to_string());
    let mut arguments = vec!["--descriptor-set", &file, "--default-access", "public"];
    for upstream in upstreams {
        arguments.extend(["--upstream", upstream]);
    }
    arguments.extend(["--policies", &policies]);
    (Gateway::start(&arguments).await, folder)
}

/// What operators see.
pub(crate) async fn metrics(gateway: &mut Gateway) -> String {
    let line = gateway.says("\"serving\"").await;
    let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    let admin = line["admin"].as_str().expect("an address");
    let seen = reqwest::get(format!("http://{admin}/metrics")).await;
    seen.expect("metrics").text().await.expect("text")
}

#[tokio::test]
async fn upstreams_and_names_that_nobody_knows_are_refused() {
    let (folder, file) = folder();
    let path = folder.path().join("p.yaml");
    for (yaml, expected) in [
        (
            "splits:\n  - of: notes.v1.Notes\n    upstreams:\n      - {upstream: nobody, weight: 1}\n",
            "p.yaml:4:20: no --upstream or --upstreams is called `nobody`",
        ),
        (
            "splits:\n  - of: notes.v2.Notes\n    upstreams: [{upstream: known, weight: 1}]\n",
            "p.yaml:2:9: no contract has a package, service, rpc or route `notes.v2.Notes`",
        ),
        (
            "splits:\n  - of: notes.v1.Notes/None\n    upstreams: [{upstream: known, weight: 1}]\n",
            "p.yaml:2:9: no contract has",
        ),
        (
            "prefixes:\n  - prefix: /old\n    upstream: nobody\n    access: [public]\n",
            "p.yaml:3:15: no --upstream or --upstreams is called `nobody`",
        ),
        (
            "prefixes:\n  - prefix: /old\n    upstream: known\n    access: [signed_in]\n",
            "p.yaml:4:13: only some may come here, but nothing checks tokens",
        ),
    ] {
        std::fs::write(&path, yaml).expect("a file");
        let mut gateway = Command::new(env!("CARGO_BIN_EXE_gateway"));
        gateway
            .args([
                "--listen",
                "127.0.0.1:0",
                "--upstream",
                "known=http://127.0.0.1:1",
            ])
            .arg("--descriptor-set")
            .arg(&file)
            .arg("--policies")
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let ended = gateway.spawn().expect("a gateway").wait_with_output();
        let ended = timeout(PATIENCE, ended).await;
        let ended = ended.expect("it ends").expect("its output");
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(2), "{yaml}\n{said}");
        assert!(said.contains(expected), "{yaml}\n{said}\n{expected}");
    }
}

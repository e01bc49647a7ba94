//! TLS on the way to upstreams: services of the mesh, and others.

use std::{
    process::Stdio,
    sync::{Arc, atomic::Ordering},
};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio::{process::Command, time::timeout};

use crate::{
    ANYWHERE,
    notes::{
        Gateway, PATIENCE, Reflection, Service,
        certificates::{Authority, PREFIX, text},
        contract, folder, until_status,
    },
    status,
};

/// A gateway in front of `service` by its logical name, `notes`, with a certificate of its own.
async fn meshed(authority: &Authority, port: u16) -> (Gateway, tempfile::TempDir) {
    let (folder, file) = folder();
    let own = authority.service("gateway");
    let upstreams = format!("notes=https://127.0.0.1:{port}");
    let arguments = [
        ["--descriptor-set", &text(&file)],
        ["--default-access", "public"],
        ["--upstreams", &upstreams],
        ["--upstream-tls-ca", &text(&own.authorities)],
        ["--upstream-tls-cert", &text(&own.certificate)],
        ["--upstream-tls-key", &text(&own.key)],
        ["--service-id-prefix", PREFIX],
    ];
    (Gateway::start(&arguments.concat()).await, folder)
}

#[tokio::test]
async fn services_are_met_over_mutual_tls() {
    let authority = Authority::new();
    let client = reqwest::Client::new();
    for (name, expected) in [("notes", 200), ("other", 503)] {
        let service = Service::default();
        let port = service.serve_tls(authority.meets(name).server()).await;
        let (gateway, _folder) = meshed(&authority, port).await;
        assert_eq!(
            status(client.get(gateway.at("/v1/notes/a"))).await,
            expected
        );
        assert_eq!(
            service.calls.load(Ordering::SeqCst) > 0,
            name == "notes",
            "{name}"
        );
    }
    // One of another authority.
    let service = Service::default();
    let foreign = Authority::new().meets("notes").server();
    let (gateway, _folder) = meshed(&authority, service.serve_tls(foreign).await).await;
    assert_eq!(status(client.get(gateway.at("/v1/notes/a"))).await, 503);
    assert_eq!(service.calls.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_service_of_the_mesh_may_tell_its_contract() {
    let authority = Authority::new();
    let own = authority.service("gateway");
    let service = Service::reflected(Reflection::V1(contract("")));
    let port = service.serve_tls(authority.meets("notes").server()).await;
    let client = reqwest::Client::new();
    for (name, expected) in [("notes", 200), ("other", 404)] {
        let reflection = format!("{name}=https://127.0.0.1:{port}");
        let arguments = [
            ["--reflection", &reflection],
            ["--default-access", "public"],
            ["--upstream-tls-ca", &text(&own.authorities)],
            ["--upstream-tls-cert", &text(&own.certificate)],
            ["--upstream-tls-key", &text(&own.key)],
            ["--service-id-prefix", PREFIX],
        ];
        let mut gateway = Gateway::start(&arguments.concat()).await;
        if expected != 200 {
            gateway.says("cannot be read").await;
        }
        until_status(&client, &gateway.at("/v1/notes/a"), expected).await;
    }
}

/// TLS as anybody speaks it, without a look at the client.
fn public(authority: &Authority, name: &str) -> Arc<rustls::ServerConfig> {
    let files = authority.host(name);
    let chain = CertificateDer::pem_file_iter(files.certificate).expect("a file");
    let chain = chain.collect::<Result<Vec<_>, _>>().expect("PEM");
    let key = PrivateKeyDer::from_pem_file(files.key).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a pair");
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

#[tokio::test]
async fn others_are_met_by_their_host_and_may_tell_their_contract() {
    let authority = Authority::new();
    let service = Service::reflected(Reflection::V1(contract("")));
    let port = service.serve_tls(public(&authority, "localhost")).await;
    let (_folder, file) = folder();
    let (file, authorities) = (text(&file), text(&authority.path()));
    let client = reqwest::Client::new();
    for (source, host, expected) in [
        ("--descriptor-set", "localhost", 200),
        // It is not for this one.
        ("--descriptor-set", "127.0.0.1", 503),
        ("--reflection", "localhost", 200),
    ] {
        let url = format!("https://{host}:{port}");
        let mut arguments = vec!["--default-access", "public"];
        arguments.extend(["--upstream-tls-ca", &authorities]);
        match source {
            "--reflection" => arguments.extend([source, &url]),
            _ => arguments.extend([source, &file, "--upstream", &url]),
        }
        let gateway = Gateway::start(&arguments).await;
        until_status(&client, &gateway.at("/v1/notes/a"), expected).await;
    }
}

#[tokio::test]
async fn tls_without_anybody_to_trust_is_an_error_at_start() {
    for option in ["--upstream", "--upstreams", "--reflection"] {
        let name = if option == "--upstreams" {
            "notes="
        } else {
            ""
        };
        let run = Command::new(env!("CARGO_BIN_EXE_gateway"))
            .args(["--listen", ANYWHERE, option])
            .arg(format!("{name}https://localhost:1"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .output();
        let output = timeout(PATIENCE, run).await.expect("in time");
        let output = output.expect("output");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{option}: {said}");
        assert!(said.contains("--upstream-tls-ca"), "{option}: {said}");
    }
}

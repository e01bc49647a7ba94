//! Old systems below a prefix: what goes there, what comes back, and what goes wrong.

use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use http::{Method, Request, Version};
use http_body::Frame;
use http_body_util::Empty;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use uuid::Uuid;

use super::{
    World,
    bodies::body,
    nowhere,
    old::{Old, says},
    send, status, until,
};
use crate::notes::{
    PATIENCE, Service,
    certificates::{Authority, text},
};

pub(crate) fn prefix(more: &str) -> String {
    format!("prefixes:\n  - prefix: /old\n    upstream: old-shop\n    access: [public]\n{more}")
}

/// A gateway in front of an old system, spoken to in HTTP/1.1 or HTTP/2.
pub(crate) async fn world(yaml: &str) -> (World, Old) {
    let old = Old::default();
    let upstream = format!("old-shop=http://{}", old.serve().await);
    let service = Service::default().serve().await;
    (World::start(&[&upstream, &service], yaml).await, old)
}

pub(crate) const VERSIONS: [&str; 2] = ["    http2: false\n", "    http2: true\n"];

#[tokio::test]
async fn a_request_goes_on_as_it_is() {
    for version in VERSIONS {
        let (world, old) = world(&prefix(version)).await;
        for (method, path) in [
            ("GET", "/old"),
            ("GET", "/old/"),
            ("PROPFIND", "/old/a%20b/%C3%A9?x=1&x=%202&"),
            ("OPTIONS", "/old/a;b=1//c"),
            ("DELETE", "/old/a"),
            ("HEAD", "/old/a"),
        ] {
            let method: Method = method.parse().expect("a method");
            let request = world.client.request(method.clone(), world.at(path));
            let request = request
                .header("cookie", "a=1")
                .header("x-own", "kept")
                .header("authorization", "Bearer x")
                .header("caravan-saga-id", "forged")
                .header("x-forwarded-for", "6.6.6.6")
                .header("x-forwarded-host", "evil")
                .header("forwarded", "for=6.6.6.6")
                .header("x-real-ip", "6.6.6.6")
                .header("x-once", "of the connection")
                .header("connection", "x-once")
                .header("x-request-id", "r-1");
            let answer = send(request).await;
            assert_eq!(answer.status(), 200, "{method} {path}");
            assert_eq!(answer.headers()["x-request-id"], "r-1");
            assert_eq!(answer.headers()["content-length"], "3");
            assert!(!answer.headers().contains_key("x-content-type-options"));
            let seen = old.seen();
            assert_eq!((&*seen.method, &*seen.uri), (method.as_str(), path));
            assert!(seen.host.starts_with("127.0.0.1:") && seen.host != world.address.to_string());
            for (name, value) in [
                ("cookie", "a=1"),
                ("x-own", "kept"),
                ("authorization", "Bearer x"),
                ("x-request-id", "r-1"),
                ("x-forwarded-for", "127.0.0.1"),
                ("x-forwarded-proto", "http"),
                ("x-forwarded-host", &world.address.to_string()),
            ] {
                assert_eq!(seen.headers[name], value, "{name}");
            }
            for name in ["caravan-saga-id", "forwarded", "x-real-ip", "x-once"] {
                assert!(!seen.headers.contains_key(name), "{name}");
            }
            assert!(seen.headers.contains_key("traceparent"));
        }
    }
}

#[tokio::test]
async fn an_answer_comes_as_it_is() {
    for version in VERSIONS {
        let (world, _old) = world(&prefix(version)).await;
        let answer = send(world.get("/old/strange").header("accept-encoding", "gzip")).await;
        assert_eq!(answer.status(), 401);
        let headers = answer.headers().clone();
        assert_eq!(headers["www-authenticate"], "Basic");
        assert_eq!(
            headers["access-control-allow-origin"],
            "https://old.example"
        );
        let cookies: Vec<_> = headers.get_all("set-cookie").iter().collect();
        assert_eq!(cookies, ["a=1", "b=2"]);
        for name in ["x-own", "keep-alive", "content-encoding", "ratelimit"] {
            assert!(!headers.contains_key(name), "{name}");
        }
        assert_eq!(answer.text().await.expect("text"), "<p>strange</p>");
    }
}

#[tokio::test]
async fn what_trusted_proxies_say_is_added_to() {
    for version in VERSIONS {
        let yaml = format!(
            "trusted_proxies: [127.0.0.1]\n{}    keep_host: true\n",
            prefix(version)
        );
        let (world, old) = world(&yaml).await;
        let request = world
            .get("/old/a")
            .header("host", "shop.example")
            .header("x-forwarded-for", "10.0.0.7")
            .header("x-forwarded-proto", "https")
            .header("x-forwarded-host", "www.shop.example");
        assert_eq!(status(request).await, 200);
        let seen = old.seen();
        assert_eq!(seen.host, "shop.example");
        assert_eq!(seen.headers["x-forwarded-for"], "10.0.0.7, 127.0.0.1");
        assert_eq!(seen.headers["x-forwarded-proto"], "https");
        assert_eq!(seen.headers["x-forwarded-host"], "www.shop.example");
    }
}

#[tokio::test]
async fn the_contract_comes_first_and_the_longest_prefix_next() {
    let (old, older) = (Old::default(), Old::default());
    let upstreams = [
        Service::default().serve().await,
        format!("old-shop=http://{}", old.serve().await),
        format!("older=http://{}", older.serve().await),
    ];
    let yaml = "prefixes:
  - {prefix: /, upstream: old-shop, access: [public]}
  - {prefix: /v1/notes, upstream: older, access: [public]}
  - {prefix: /secret/, upstream: older, access: []}
";
    let upstreams = upstreams.each_ref().map(String::as_str);
    let world = World::start(&upstreams, yaml).await;
    for (method, path, expected) in [
        ("GET", "/v1/notes/a", "contract"),
        ("POST", "/v1/notes", "contract"),
        ("DELETE", "/v1/notes/a", "older"),
        ("GET", "/v1/notes/a/b", "older"),
        ("GET", "/v1/notesandmore", "old"),
        ("GET", "/", "old"),
        ("GET", "/docs", "gateway"),
        ("GET", "/openapi.json", "gateway"),
        ("GET", "/docs/more", "old"),
        ("GET", "/secret", "401"),
        ("GET", "/secret/a", "401"),
        // However it is written.
        ("GET", "//secret//a", "401"),
        ("GET", "/s%65cret/a", "401"),
        ("GET", "/secret;x=1/a", "401"),
        ("GET", "/a%2f..%2fsecret", "404"),
        ("GET", "/%2e%2e/secret", "404"),
    ] {
        let before = (old.requests(), older.requests());
        // As it stands: clients' libraries would mend it.
        let mut stream = TcpStream::connect(world.address)
            .await
            .expect("a connection");
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}"
        );
        let request = match method {
            "POST" => request,
            _ => request.replace("content-length: 2\r\n\r\n{}", "\r\n"),
        };
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        let read = timeout(PATIENCE, stream.read_to_string(&mut answer)).await;
        read.expect("in time").expect("an answer");
        let status = answer.get(9..12).unwrap_or_default();
        let found = match (old.requests() - before.0, older.requests() - before.1) {
            (1, 0) => "old",
            (0, 1) => "older",
            _ if status != "200" => status,
            _ if path.starts_with("/v1") => "contract",
            _ => "gateway",
        };
        assert_eq!(found, expected, "{method} {path}: {answer}");
    }
}

#[tokio::test]
async fn who_may_not_come_is_refused_here() {
    let yaml = prefix("    rate: 2/h\n").replace("[public]", "[admin]");
    let yaml = format!("disable: [access]\n{yaml}");
    let (world, old) = world(&yaml).await;
    let (ada, eve) = (
        world.signer.user(Uuid::now_v7(), &["admin"]),
        world.signer.user(Uuid::now_v7(), &["customer"]),
    );
    for (token, expected) in [
        (None, 401),
        (Some("nonsense"), 401),
        (Some(&*eve), 403),
        (Some(&*ada), 200),
        (Some(&*ada), 200),
        (Some(&*ada), 429),
    ] {
        let request = world.get("/old/a");
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let answer = send(request).await;
        assert_eq!(answer.status(), expected, "{token:?}");
        assert_eq!(
            answer.headers().contains_key("ratelimit"),
            matches!(expected, 200 | 429)
        );
        if expected != 200 {
            assert_eq!(answer.headers()["content-type"], "application/problem+json");
        }
    }
    assert_eq!(old.requests(), 2);
}

#[tokio::test]
async fn pages_of_other_origins_are_the_gateways_to_admit() {
    let cors = "cors: {origins: ['https://shop.example']}\n";
    let (world, old) = world(&format!("{cors}{}", prefix(""))).await;
    let preflight = world.client.request(Method::OPTIONS, world.at("/old/a"));
    let preflight = preflight
        .header("origin", "https://shop.example")
        .header("access-control-request-method", "PUT");
    assert_eq!(status(preflight).await, 204);
    assert_eq!(old.requests(), 0);
    for (origin, allowed) in [
        ("https://shop.example", Some("https://shop.example")),
        ("https://old.example", None),
    ] {
        let answer = send(world.get("/old/strange").header("origin", origin)).await;
        let found = answer.headers().get_all("access-control-allow-origin");
        let found: Vec<_> = found.iter().collect();
        assert_eq!(found, allowed.into_iter().collect::<Vec<_>>(), "{origin}");
    }
}

#[tokio::test]
async fn what_goes_wrong_is_a_problem() {
    let old = Old::default();
    let (_socket, address) = nowhere();
    let upstreams = [
        format!("old-shop=http://{}", old.serve().await),
        format!("nowhere=http://{address}"),
        format!("nonsense=http://{}", says("what is HTTP?\r\n\r\n").await),
    ];
    let yaml = "limits: {body_timeout: 200ms}
prefixes:
  - {prefix: /old, upstream: old-shop, access: [public], deadline: 200ms, body: 64KiB}
  - {prefix: /new, upstream: old-shop, access: [public], deadline: 200ms, http2: true}
  - {prefix: /nowhere, upstream: nowhere, access: [public]}
  - {prefix: /nowhere2, upstream: nowhere, access: [public], http2: true}
  - {prefix: /nonsense, upstream: nonsense, access: [public]}
  - {prefix: /nonsense2, upstream: nonsense, access: [public], http2: true}
";
    let upstreams = upstreams.each_ref().map(String::as_str);
    let world = World::start(&upstreams, yaml).await;
    for (path, expected, reason) in [
        ("/old/deaf", 504, "DEADLINE_EXCEEDED"),
        ("/new/deaf", 504, "DEADLINE_EXCEEDED"),
        ("/old/refuses", 502, "UPSTREAM_BROKE_OFF"),
        ("/new/refuses", 502, "UPSTREAM_BROKE_OFF"),
        ("/nowhere/a", 502, "UPSTREAM_UNAVAILABLE"),
        ("/nowhere2/a", 502, "UPSTREAM_UNAVAILABLE"),
        ("/nonsense/a", 502, "UPSTREAM_BROKE_OFF"),
        ("/nonsense2/a", 502, "UPSTREAM"),
    ] {
        let answer = send(world.get(path)).await;
        assert_eq!(answer.status(), expected, "{path}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        let problem: Value = answer.json().await.expect("JSON");
        let found = problem["reason"].as_str().expect("a reason");
        assert!(found.starts_with(reason), "{path}: {problem}");
    }
    until("nothing is left at the old system", || {
        old.running.load(Ordering::SeqCst) == 0
    })
    .await;
    // What is not whole must not be taken for it.
    for path in ["/old/breaks", "/new/breaks"] {
        let answer = send(world.get(path)).await;
        assert_eq!(answer.status(), 200);
        assert!(answer.bytes().await.is_err(), "{path}");
    }
    let post = |body: reqwest::Body| world.client.post(world.at("/old/swallow")).body(body);
    assert_eq!(status(post(vec![0; 65_536].into())).await, 200);
    assert_eq!(status(post(vec![0; 65_537].into())).await, 413);
    let (pieces, large) = body();
    for _ in 0..2 {
        let piece = Frame::data(vec![0; 40_000].into());
        pieces.try_send(Ok(piece)).expect("room");
    }
    drop(pieces);
    assert_eq!(status(post(large)).await, 413);
    // Nothing more comes, though the old system waits for it.
    let (_pieces, silent) = body();
    assert_eq!(status(post(silent)).await, 408);
    for method in [Method::TRACE] {
        let request = world.client.request(method, world.at("/old/a"));
        assert_eq!(status(request).await, 501);
    }
}

#[tokio::test]
async fn old_systems_are_met_over_tls() {
    let authority = Authority::new();
    let files = authority.host("localhost");
    let chain = CertificateDer::pem_file_iter(files.certificate).expect("a file");
    let chain: Vec<_> = chain.collect::<Result<_, _>>().expect("PEM");
    let key = PrivateKeyDer::from_pem_file(files.key).expect("a key");
    let authorities = text(&authority.path());
    for (version, protocol) in VERSIONS.iter().zip([&b"http/1.1"[..], b"h2"]) {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(chain.clone(), key.clone_key())
            .expect("a pair");
        config.alpn_protocols = vec![protocol.to_vec()];
        let old = Old::default();
        let port = old.serve_tls(Arc::new(config)).await.port();
        let (folder, file) = crate::notes::folder();
        let policies = folder.path().join("p.yaml");
        std::fs::write(&policies, prefix(version)).expect("a file");
        let (file, policies) = (text(&file), text(&policies));
        for (host, expected) in [("localhost", 200), ("127.0.0.1", 502)] {
            let upstream = format!("old-shop=https://{host}:{port}");
            let arguments = [
                ["--descriptor-set", &file],
                ["--policies", &policies],
                ["--upstream", &upstream],
                ["--upstream-tls-ca", &authorities],
            ];
            let gateway = crate::notes::Gateway::start(&arguments.concat()).await;
            let client = reqwest::Client::new();
            assert_eq!(status(client.get(gateway.at("/old/a"))).await, expected);
        }
        assert_eq!(old.requests(), 1);
    }
}

#[tokio::test]
async fn grpc_that_no_contract_has_goes_to_who_speaks_http_2() {
    let (world, old) = world(&prefix("    http2: true\n")).await;
    let stream = TcpStream::connect(world.address)
        .await
        .expect("a connection");
    let builder = http2::Builder::new(TokioExecutor::new());
    let shaken = builder
        .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
        .await;
    let (mut sender, connection) = shaken.expect("HTTP/2");
    tokio::spawn(connection);
    let request = Request::post(world.at("/old/echo")).header("content-type", "application/grpc");
    let request = request.body(Empty::new()).expect("a request");
    let answer = sender.send_request(request).await.expect("an answer");
    assert_eq!(
        (answer.status().as_u16(), answer.version()),
        (200, Version::HTTP_2)
    );
    assert_eq!(old.seen().headers["content-type"], "application/grpc");
}

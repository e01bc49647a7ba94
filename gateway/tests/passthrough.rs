//! gRPC and gRPC-Web through the gateway, TLS in front of it, and the time that calls may take.

mod notes;

use std::{sync::atomic::Ordering, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures::{StreamExt as _, stream};
use http::uri::PathAndQuery;
use notes::{Gateway, Note, PATIENCE, Service, folder, note, until_status};
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;

type Codec = ProstCodec<Note, Note>;

async fn client(url: &str) -> Grpc<Channel> {
    let channel = Channel::from_shared(url.to_owned()).expect("a URL");
    let mut client = Grpc::new(channel.connect().await.expect("a connection"));
    client.ready().await.expect("ready");
    client
}

fn path(method: &'static str) -> PathAndQuery {
    format!("/notes.v1.Notes/{method}").parse().expect("a path")
}

fn framed(note: &Note) -> Vec<u8> {
    let message = note.encode_to_vec();
    let mut frame = vec![0];
    frame.extend((message.len() as u32).to_be_bytes());
    frame.extend(message);
    frame
}

/// Waits until nothing is served any more.
async fn until_idle(service: &Service) {
    let idle = async {
        while service.running.load(Ordering::SeqCst) != 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, idle)
        .await
        .expect("calls end");
}

#[tokio::test]
async fn every_kind_of_stream_passes() {
    let (_folder, file) = folder();
    let service = Service::default();
    let gateway = Gateway::of_file(&file, &[&service.serve().await]).await;
    let mut client = client(&gateway.url).await;

    let mut request = Request::new(note("a"));
    let metadata = request.metadata_mut();
    metadata.insert("x-own", "kept".parse().expect("ASCII"));
    metadata.insert("caravan-saga-id", "forged".parse().expect("ASCII"));
    let answer = client.unary(request, path("Get"), Codec::default()).await;
    assert_eq!(answer.expect("an answer").into_inner(), note("a"));
    let seen = service.metadata.lock().expect("metadata").clone();
    assert_eq!(seen["x-own"], "kept");
    assert!(!seen.contains_key("caravan-saga-id"));

    client.ready().await.expect("ready");
    let answer = client.server_streaming(Request::new(note("b")), path("List"), Codec::default());
    let notes: Vec<_> = answer.await.expect("a stream").into_inner().collect().await;
    assert_eq!(notes.len(), 1);

    client.ready().await.expect("ready");
    let sent = stream::iter([note("c")]);
    let answer = client.client_streaming(Request::new(sent), path("Collect"), Codec::default());
    assert_eq!(answer.await.expect("an answer").into_inner(), note("c"));

    // Each message comes back before the next one is sent.
    client.ready().await.expect("ready");
    let (sender, receiver) = mpsc::channel(1);
    let request = Request::new(ReceiverStream::new(receiver));
    let chat = client.streaming(request, path("Chat"), Codec::default());
    let mut chat = chat.await.expect("a stream").into_inner();
    for id in ["1", "2", "3"] {
        sender.send(note(id)).await.expect("sent");
        let answer = tokio::time::timeout(PATIENCE, chat.message()).await;
        assert_eq!(answer.expect("in time").expect("a message"), Some(note(id)));
    }
    drop(sender);
    assert_eq!(chat.message().await.expect("the end"), None);
    until_idle(&service).await;
}

#[tokio::test]
async fn failures_are_said_in_grpc() {
    let (_folder, file) = folder();
    let service = Service::default();
    let gateway = Gateway::of_file(&file, &[&service.serve().await]).await;
    let mut client = client(&gateway.url).await;
    let unknown = client.unary(Request::new(note("a")), path("Nowhere"), Codec::default());
    assert_eq!(
        unknown.await.expect_err("no rpc").code(),
        Code::Unimplemented
    );

    client.ready().await.expect("ready");
    let mut request = Request::new(note("hangs"));
    request.set_timeout(Duration::from_millis(200));
    let late = client.unary(request, path("Get"), Codec::default()).await;
    // The client's own clock may be the first.
    let code = late.expect_err("too late").code();
    assert!(
        matches!(code, Code::DeadlineExceeded | Code::Cancelled),
        "{code:?}"
    );
    until_idle(&service).await;

    client.ready().await.expect("ready");
    let expired = client.unary(Request::new(note("expires")), path("Get"), Codec::default());
    assert_eq!(
        expired.await.expect_err("expired").code(),
        Code::DeadlineExceeded
    );
}

#[tokio::test]
async fn browsers_call_by_grpc_web() {
    let (_folder, file) = folder();
    let gateway = Gateway::of_file(&file, &[&Service::default().serve().await]).await;
    let client = reqwest::Client::new();
    let frame = framed(&note("a"));
    let call = |kind: &str, body: Vec<u8>| {
        let request = client.post(gateway.at("/notes.v1.Notes/Get"));
        request.header("content-type", kind).body(body).send()
    };
    let answer = call("application/grpc-web+proto", frame.clone())
        .await
        .expect("an answer");
    assert_eq!(
        answer.headers()["content-type"],
        "application/grpc-web+proto"
    );
    let body = answer.bytes().await.expect("a body");
    assert!(body.starts_with(&frame), "{body:?}");
    let trailers = &body[frame.len()..];
    assert_eq!(trailers[0], 0x80);
    let text = String::from_utf8_lossy(&trailers[5..]);
    assert!(text.contains("grpc-status: 0\r\n"), "{text}");

    let text = STANDARD.encode(&frame).into_bytes();
    let answer = call("application/grpc-web-text", text)
        .await
        .expect("an answer");
    let body = answer.text().await.expect("text");
    let first = STANDARD.encode(&frame);
    assert!(body.starts_with(&first), "{body}");
    let trailers = STANDARD.decode(&body[first.len()..]).expect("base64");
    assert_eq!(trailers[0], 0x80);

    // gRPC itself needs trailers, which HTTP/1.1 clients do not read.
    let answer = call("application/grpc", frame).await.expect("an answer");
    assert_ne!(answer.headers()["grpc-status"], "0");
}

#[tokio::test]
async fn time_is_limited_and_a_client_that_goes_cancels() {
    let (_folder, file) = folder();
    let service = Service::default();
    let gateway = Gateway::of_file(&file, &[&service.serve().await]).await;
    let client = reqwest::Client::new();
    for (name, value) in [("x-request-timeout", "0.2"), ("grpc-timeout", "200m")] {
        let request = client
            .get(gateway.at("/v1/notes/hangs"))
            .header(name, value);
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 504, "{name}");
        until_idle(&service).await;
    }
    let answer = client.get(gateway.at("/v1/notes/expires")).send().await;
    assert_eq!(answer.expect("an answer").status(), 504);

    let before = service.calls.load(Ordering::SeqCst);
    let hanging = tokio::spawn(client.get(gateway.at("/v1/notes/hangs")).send());
    let called = async {
        while service.calls.load(Ordering::SeqCst) == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, called)
        .await
        .expect("a call");
    hanging.abort();
    until_idle(&service).await;
}

#[tokio::test]
async fn tls_offers_both_versions_and_new_certificates() {
    let (folder, file) = folder();
    let issue = || {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]);
        let made = made.expect("a certificate");
        let (certificate, key) = (folder.path().join("c.pem"), folder.path().join("c.key"));
        notes::replace(&key, made.signing_key.serialize_pem().as_bytes());
        notes::replace(&certificate, made.cert.pem().as_bytes());
        (
            certificate.display().to_string(),
            key.display().to_string(),
            made.cert.pem(),
        )
    };
    let (certificate, key, pem) = issue();
    let file = file.display().to_string();
    let upstream = Service::default().serve().await;
    let arguments = [
        "--tls-cert",
        &certificate,
        "--tls-key",
        &key,
        "--descriptor-set",
        &file,
        "--upstream",
        &upstream,
        "--default-access",
        "public",
    ];
    let mut gateway = Gateway::start(&arguments).await;
    let port = gateway.url.rsplit(':').next().expect("a port").to_owned();
    assert!(gateway.url.starts_with("https://"), "{}", gateway.url);
    let url = format!("https://localhost:{port}/v1/notes/a");
    let trusting = |pem: &str| {
        let root = reqwest::Certificate::from_pem(pem.as_bytes()).expect("PEM");
        reqwest::Client::builder().tls_certs_only([root])
    };
    let second = trusting(&pem)
        .http2_prior_knowledge()
        .build()
        .expect("a client");
    let answer = second.get(&url).send().await.expect("an answer");
    assert_eq!(
        (answer.status().as_u16(), answer.version()),
        (200, http::Version::HTTP_2)
    );
    let first = trusting(&pem).http1_only().build().expect("a client");
    let answer = first.get(&url).send().await.expect("an answer");
    assert_eq!(
        (answer.status().as_u16(), answer.version()),
        (200, http::Version::HTTP_11)
    );

    // What cannot be used is told, and the old one stays.
    notes::replace(&folder.path().join("c.key"), b"half of a key");
    let line = gateway.says("the old ones stay").await;
    assert!(line.contains("c.key"), "{line}");
    let third = trusting(&pem).build().expect("a client");
    assert_eq!(
        third.get(&url).send().await.expect("an answer").status(),
        200
    );

    let (_, _, pem) = issue();
    let newer = trusting(&pem).build().expect("a client");
    until_status(&newer, &url, 200).await;
}

//! Several versions of one service: by weight, by header, by caller; and one of them away.

use std::sync::atomic::Ordering;

use futures::{SinkExt as _, StreamExt as _, stream};
use http::uri::PathAndQuery;
use prost::Message as _;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    client_async,
    tungstenite::{Message, client::IntoClientRequest as _},
};
use tonic::{Request, client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;
use uuid::Uuid;

use super::{World, nowhere, send, status, until};
use crate::notes::{Note, PATIENCE, Service, note};

/// A service and its next version.
struct Versions {
    stable: Service,
    canary: Service,
    upstreams: [String; 2],
}

impl Versions {
    async fn serve() -> Self {
        let (stable, canary) = (Service::default(), Service::default());
        let upstreams = [
            format!("stable={}", stable.serve().await),
            format!("next-version={}", canary.serve().await),
        ];
        Self {
            stable,
            canary,
            upstreams,
        }
    }

    async fn world(&self, yaml: &str) -> World {
        let upstreams = self.upstreams.each_ref().map(String::as_str);
        World::start(&upstreams, yaml).await
    }

    /// Calls of the stable one and of the other.
    fn calls(&self) -> (usize, usize) {
        let calls = |service: &Service| service.calls.load(Ordering::SeqCst);
        (calls(&self.stable), calls(&self.canary))
    }
}

fn split(of: &str, stable: &str, canary: &str) -> String {
    format!(
        "disable: [rate]\nsplits:\n  - of: {of}\n    upstreams:\n      - {{upstream: stable, {stable}}}\n      - {{upstream: next-version, {canary}}}\n"
    )
}

#[tokio::test]
async fn requests_are_shared_by_weight() {
    let versions = Versions::serve().await;
    let world = versions
        .world(&split("notes.v1.Notes", "weight: 75", "weight: 25"))
        .await;
    for _ in 0..400 {
        assert_eq!(status(world.get("/v1/notes/a")).await, 200);
    }
    let (stable, canary) = versions.calls();
    assert_eq!(stable + canary, 400);
    // A hundred, give or take seven times the standard deviation.
    assert!((40..=160).contains(&canary), "{canary}");
}

const KINDS: [&str; 7] = [
    "get",
    "post",
    "events",
    "grpc",
    "grpc stream",
    "grpc-web",
    "websocket",
];

/// Calls in one of the ways that there are, with a header.
async fn call(world: &World, kind: &str, value: &str) {
    let header = |request: reqwest::RequestBuilder| request.header("x-version", value);
    match kind {
        "get" => assert_eq!(status(header(world.get("/v1/notes/a"))).await, 200),
        "post" => {
            let post = world.client.post(world.at("/v1/notes")).body("{}");
            assert_eq!(status(header(post)).await, 200);
        }
        "events" => {
            let answer = send(header(world.get("/v1/notes?id=a"))).await;
            let text = answer.text().await.expect("a stream");
            assert!(text.contains("data: {\"id\":\"a\""), "{text}");
        }
        "grpc" | "grpc stream" => {
            let channel = Channel::from_shared(world.url.clone()).expect("a URL");
            let mut client = Grpc::new(channel.connect().await.expect("a connection"));
            client.ready().await.expect("ready");
            let codec = ProstCodec::<Note, Note>::default();
            let path = |method| PathAndQuery::try_from(format!("/notes.v1.Notes/{method}"));
            let value = value.parse().expect("ASCII");
            if kind == "grpc" {
                let mut request = Request::new(note("a"));
                request.metadata_mut().insert("x-version", value);
                let answer = client.unary(request, path("Get").expect("a path"), codec);
                assert_eq!(answer.await.expect("an answer").into_inner(), note("a"));
            } else {
                let mut request = Request::new(stream::iter([note("a"), note("b")]));
                request.metadata_mut().insert("x-version", value);
                let answer = client.streaming(request, path("Chat").expect("a path"), codec);
                let notes = answer.await.expect("a stream").into_inner();
                assert_eq!(notes.collect::<Vec<_>>().await.len(), 2);
            }
        }
        "grpc-web" => {
            let message = note("a").encode_to_vec();
            let frame = [&[0, 0, 0, 0, message.len() as u8], &message[..]].concat();
            let post = world
                .client
                .post(world.at("/notes.v1.Notes/Get"))
                .body(frame);
            let post = post.header("content-type", "application/grpc-web+proto");
            assert_eq!(status(header(post)).await, 200);
        }
        _ => {
            let url = format!("ws://{}/v1/talk", world.address);
            let mut request = url.into_client_request().expect("a request");
            let value = value.parse().expect("ASCII");
            request.headers_mut().insert("x-version", value);
            let stream = TcpStream::connect(world.address)
                .await
                .expect("a connection");
            let (mut socket, _) = client_async(request, stream).await.expect("a socket");
            socket
                .send(Message::text("{\"id\": \"a\"}"))
                .await
                .expect("sent");
            let heard = timeout(PATIENCE, socket.next()).await.expect("in time");
            let heard = heard.expect("a frame").expect("well-formed");
            assert!(heard.to_text().expect("text").contains("\"a\""));
        }
    }
}

#[tokio::test]
async fn a_header_chooses_for_every_kind_of_call() {
    let versions = Versions::serve().await;
    let canary = "weight: 0, when: {x-version: next}";
    let world = versions
        .world(&split("notes.v1", "weight: 1", canary))
        .await;
    for kind in KINDS {
        let before = versions.calls();
        call(&world, kind, "next").await;
        assert_eq!(versions.calls(), (before.0, before.1 + 1), "{kind}");
        call(&world, kind, "other").await;
        assert_eq!(versions.calls(), (before.0 + 1, before.1 + 1), "{kind}");
    }
}

#[tokio::test]
async fn all_headers_of_a_when_must_match() {
    let versions = Versions::serve().await;
    let canary = "when: {x-version: next, x-tenant: 7}";
    let world = versions
        .world(&split("notes.v1.Notes", "weight: 1", canary))
        .await;
    for (headers, expected) in [
        (&[("x-version", "next")][..], (1, 0)),
        (&[("x-version", "next"), ("x-tenant", "8")], (1, 0)),
        (&[("x-version", "next"), ("x-tenant", "7")], (0, 1)),
        // One of several values is enough.
        (
            &[("x-version", "next"), ("x-tenant", "8"), ("x-tenant", "7")],
            (0, 1),
        ),
    ] {
        let before = versions.calls();
        let mut request = world.get("/v1/notes/a");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        assert_eq!(status(request).await, 200);
        let after = versions.calls();
        let made = (after.0 - before.0, after.1 - before.1);
        assert_eq!(made, expected, "{headers:?}");
    }
}

#[tokio::test]
async fn a_caller_stays_with_one_version() {
    let versions = Versions::serve().await;
    let yaml = split("notes.v1.Notes", "weight: 1", "weight: 1")
        .replace("    upstreams:", "    sticky: true\n    upstreams:");
    let yaml = format!("trusted_proxies: [127.0.0.1]\n{yaml}");
    let (world, again) = (versions.world(&yaml).await, versions.world(&yaml).await);
    let asks = async |world: &World, address: &str, token: Option<&str>| {
        let before = versions.calls().1;
        let request = world.get("/v1/notes/a").header("x-forwarded-for", address);
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        assert_eq!(status(request).await, 200);
        versions.calls().1 > before
    };
    let mut on_canary = 0;
    for caller in 0..60 {
        let address = format!("10.1.2.{caller}");
        let first = asks(&world, &address, None).await;
        on_canary += usize::from(first);
        for world in [&world, &again] {
            assert_eq!(asks(world, &address, None).await, first, "{address}");
        }
    }
    // The addresses are always the same, and so are their places.
    assert!((15..=45).contains(&on_canary), "{on_canary}");
    for _ in 0..20 {
        let token = world.signer.user(Uuid::now_v7(), &["customer"]);
        let first = asks(&world, "10.0.0.1", Some(&token)).await;
        // A user is the same from everywhere.
        let second = asks(&world, "10.9.9.9", Some(&token)).await;
        assert_eq!(first, second);
    }
}

#[tokio::test]
async fn a_version_that_is_away_costs_nobody_an_answer() {
    let stable = Service::default();
    let (socket, address) = nowhere();
    let upstreams = [
        format!("stable={}", stable.serve().await),
        format!("next-version=http://{address}"),
    ];
    let yaml = split(
        "notes.v1.Notes",
        "weight: 1",
        "weight: 1, when: {x-version: next}",
    );
    let upstreams = upstreams.each_ref().map(String::as_str);
    let world = World::start(&upstreams, &yaml).await;
    for _ in 0..30 {
        for kind in KINDS {
            call(&world, kind, "any").await;
        }
    }
    // Who asks for it hears that it is away, rather than another one.
    let asked_for = world.get("/v1/notes/a").header("x-version", "next");
    assert_eq!(status(asked_for).await, 503);
    let canary = Service::default();
    drop(socket);
    let _back = canary.serve_apart(address);
    let ask = async {
        while canary.calls.load(Ordering::SeqCst) == 0 {
            call(&world, "get", "any").await;
        }
    };
    timeout(PATIENCE, ask).await.expect("it gets calls again");
}

#[tokio::test]
async fn a_version_that_says_unavailable_is_passed_over() {
    let versions = Versions::serve().await;
    versions.canary.is_unavailable.store(true, Ordering::SeqCst);
    let world = versions
        .world(&split("notes.v1.Notes", "weight: 1", "weight: 1"))
        .await;
    let mut refused = 0;
    for _ in 0..60 {
        // What may be made again is made by the other one.
        assert_eq!(status(world.get("/v1/notes/a")).await, 200);
        let post = world.client.post(world.at("/v1/notes")).body("{}");
        refused += usize::from(status(post).await == 503);
    }
    let asked = versions.calls().1;
    assert!(refused <= 10 && asked <= 20, "{refused} {asked}");
    versions
        .canary
        .is_unavailable
        .store(false, Ordering::SeqCst);
    let ask = async {
        while versions.calls().1 < asked + 20 {
            assert_eq!(status(world.get("/v1/notes/a")).await, 200);
        }
    };
    timeout(PATIENCE, ask).await.expect("it is trusted again");
}

#[tokio::test]
async fn the_nearest_split_counts() {
    let versions = Versions::serve().await;
    let shares = |stable: u32, canary: u32| {
        format!(
            "upstreams: [{{upstream: stable, weight: {stable}}}, {{upstream: next-version, weight: {canary}}}]"
        )
    };
    let yaml = format!(
        "splits:\n  - of: notes\n    {}\n  - of: GET /v1/notes/{{id}}\n    {}\n  - of: notes.v1.Notes/Get\n    {}\n  - of: notes.v1.Notes\n    {}\n",
        shares(0, 1),
        shares(0, 1),
        shares(1, 0),
        shares(1, 0),
    );
    let world = versions.world(&yaml).await;
    for (kind, is_canary) in [("get", true), ("grpc", false), ("post", false)] {
        let before = versions.calls();
        call(&world, kind, "any").await;
        let after = versions.calls();
        assert_eq!(after.1 > before.1, is_canary, "{kind}");
    }
}

#[tokio::test]
async fn what_is_kept_is_kept_for_each_version() {
    let versions = Versions::serve().await;
    let yaml = format!(
        "routes: [{{route: 'GET /v1/notes/{{id}}', cache: {{ttl: 60s}}}}]\n{}",
        split("notes.v1.Notes", "weight: 1", "when: {x-version: next}")
    );
    let world = versions.world(&yaml).await;
    for (value, expected) in [
        ("any", (1, 0)),
        ("next", (1, 1)),
        ("any", (1, 1)),
        ("next", (1, 1)),
    ] {
        let request = world.get("/v1/notes/a").header("x-version", value);
        let answer = send(request).await;
        let vary: Vec<_> = answer.headers().get_all("vary").iter().collect();
        assert!(vary.iter().any(|vary| *vary == "x-version"), "{vary:?}");
        assert_eq!(versions.calls(), expected);
    }
}

#[tokio::test]
async fn a_new_version_has_its_name_in_logs_and_metrics() {
    let versions = Versions::serve().await;
    let yaml = split("notes.v1.Notes", "weight: 1", "when: {x-version: next}");
    let (mut gateway, folder) =
        super::start::gateway(&versions.upstreams.each_ref().map(String::as_str), &yaml).await;
    let client = reqwest::Client::new();
    let ask = |id: &str| {
        let request = client.get(gateway.at(&format!("/v1/notes/{id}")));
        request.header("x-version", "next")
    };
    assert_eq!(status(ask("a")).await, 200);
    let late = ask("hangs").header("x-request-timeout", "50ms");
    assert_eq!(status(late).await, 504);
    assert_eq!(status(client.get(gateway.at("/v1/notes/a"))).await, 200);
    let seen = super::start::metrics(&mut gateway).await;
    for (upstream, code, count) in [
        ("next-version", "OK", 1),
        ("next-version", "DEADLINE_EXCEEDED", 1),
        ("stable", "OK", 1),
    ] {
        let expected = format!(
            "gateway_split_requests_total{{code=\"{code}\",split=\"notes.v1.Notes\",upstream=\"{upstream}\"}} {count}"
        );
        assert!(seen.contains(&expected), "{expected} is not in {seen}");
    }
    assert!(seen.contains("gateway_upstream_endpoints{upstream=\"next-version\"} 1"));
    drop(folder);
    until("all ends", || {
        versions.canary.running.load(Ordering::SeqCst) == 0
    })
    .await;
}

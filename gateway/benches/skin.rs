//! What the gateway's outer skin costs: route, token, access, rate, metadata and headers of the answer, without the call.
//!
//! `cargo bench -p gateway --bench skin`

use std::{
    net::{IpAddr, Ipv4Addr},
    path::Path,
    sync::Arc,
};

use alone::Signer;
use chassis::auth::Verifier;
use criterion::{BatchSize, Criterion};
use gateway::{
    api::Api,
    gateway::Gateway,
    policy::{Policies, Settings},
    skin,
    source::Contract,
    upstream::Directory,
};
use http::{Request, header, request::Parts};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn gateway(policies: Policies) -> Arc<Gateway> {
    let policies = Arc::new(policies);
    let directory = Directory::new(&[], &Default::default(), 1);
    let api = Api::compile(&Contract::built_in(), &directory, &policies).expect("the contract");
    Arc::new(Gateway::new(api, policies, false, CancellationToken::new()))
}

/// A request with what browsers and clients usually send along.
fn request(token: &str) -> Parts {
    let request = Request::get("/v1/orders/0199aa00-0000-7000-8000-0123456789ab")
        .header(header::HOST, "shop.example")
        .header(header::ACCEPT, "application/json")
        .header(header::ACCEPT_ENCODING, "gzip, br, zstd")
        .header(header::USER_AGENT, "bench/1.0")
        .header(header::AUTHORIZATION, format!("Bearer {token}"));
    request.body(()).expect("a request").into_parts().0
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let signer = Signer::new();
    let verifier = Verifier::new("caravan", signer.clone());
    // At rates that let the load through.
    let settings = Settings::parse(Path::new("bench"), "rates: {read: 1000000/s}");
    let all = gateway(Policies::new(settings.expect("settings"), Some(verifier)));
    let off = gateway(Policies::new(Settings::off(), None));
    let fresh = || request(&signer.user(Uuid::now_v7(), &["customer"]));
    let known = fresh();
    let pass = |gateway: &Arc<Gateway>, head: &Parts| {
        let passed = runtime.block_on(skin::around_a_call(gateway, CLIENT, head));
        passed.expect("let in")
    };

    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("gateway");
    group.bench_function("all policies, a known token", |bencher| {
        bencher.iter(|| pass(&all, &known));
    });
    group.bench_function("policies off", |bencher| {
        bencher.iter(|| pass(&off, &known));
    });
    group.bench_function("all policies, a new token", |bencher| {
        bencher.iter_batched(fresh, |head| pass(&all, &head), BatchSize::SmallInput);
    });
    group.finish();
    criterion.final_summary();
}

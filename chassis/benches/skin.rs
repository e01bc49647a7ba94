//! What a service's outer skin costs: token, access by the contract, and the check of a message of about 1 KiB.
//!
//! `cargo bench -p chassis --bench skin`

use alone::Signer;
use chassis::{
    Caller, Classify, Code,
    auth::{Verifier, admitted, bearer},
    rpc,
};
use contracts::{caravan::ordering::v1 as pb, policy};
use criterion::{BatchSize, Criterion};
use http::{HeaderMap, header::AUTHORIZATION};
use prost::Message as _;
use prost_reflect::ReflectMessage as _;
use tonic::Request;
use uuid::Uuid;

const PLACE_ORDER: &str = "caravan.ordering.v1.PlaceOrderRequest";
/// Makes a message of about 1 KiB.
const LINES: i32 = 45;

/// An order of many lines: each is a message with rules of its own, so this is a dear kind of 1 KiB.
fn order() -> pb::PlaceOrderRequest {
    let line = |number: i32| pb::PlaceOrderLine {
        sku: format!("TEA-ASSAM-{number:06}"),
        quantity: number,
    };
    pb::PlaceOrderRequest {
        lines: (1..=LINES).map(line).collect(),
        payment_method: "pm_card_visa".to_owned(),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("never")]
struct Never;

impl Classify for Never {
    fn code(&self) -> Code {
        Code::Internal
    }

    fn reason(&self) -> &'static str {
        "NEVER"
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let signer = Signer::new();
    let verifier = Verifier::new("caravan", signer.clone());
    let (_, policy) = policy::method_of_request(PLACE_ORDER).expect("an rpc");
    let access = policy.access.as_ref().expect("an access option");
    let message = order();
    let bytes = message.encoded_len();
    assert!((900..1_200).contains(&bytes), "{bytes} bytes");

    let headers = || {
        let mut headers = HeaderMap::new();
        let token = signer.user(Uuid::now_v7(), &["customer"]);
        let value = format!("Bearer {token}").parse().expect("a header");
        headers.insert(AUTHORIZATION, value);
        headers
    };
    let admit = |headers: &HeaderMap| -> Caller {
        let token = bearer(headers).expect("one token").expect("one token");
        let caller = runtime.block_on(verifier.verify(token)).expect("good");
        admitted(access, caller).expect("let in")
    };
    let call = |message: pb::PlaceOrderRequest, caller: Caller| {
        let mut request = Request::new(message);
        let key = "bench".parse().expect("metadata");
        request.metadata_mut().insert("idempotency-key", key);
        request.extensions_mut().insert(caller);
        let answer = rpc::unary(request, |_, _| async { Ok::<_, Never>(()) });
        runtime.block_on(answer).expect("it keeps all rules");
    };
    let known = headers();

    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("service");
    let checked = |message| call(message, Caller::Anonymous);
    let message = || message.clone();
    group.bench_function(
        "all: a known token, access, a message of 1 KiB",
        |bencher| {
            let both = |message| call(message, admit(&known));
            bencher.iter_batched(message, both, BatchSize::SmallInput);
        },
    );
    group.bench_function("a known token and access", |bencher| {
        bencher.iter(|| admit(&known));
    });
    let caller = admit(&known);
    group.bench_function("access", |bencher| {
        let caller = || caller.clone();
        let admitted = |caller| admitted(access, caller);
        bencher.iter_batched(caller, admitted, BatchSize::SmallInput);
    });
    group.bench_function("a new token and access", |bencher| {
        bencher.iter_batched(headers, |headers| admit(&headers), BatchSize::SmallInput);
    });
    group.bench_function("a call with a message of 1 KiB", |bencher| {
        bencher.iter_batched(message, checked, BatchSize::SmallInput);
    });
    group.bench_function("a call with a message of 30 bytes", |bencher| {
        let small = || pb::PlaceOrderRequest {
            lines: order().lines.split_off(LINES as usize - 1),
            payment_method: "pm".to_owned(),
        };
        bencher.iter_batched(small, checked, BatchSize::SmallInput);
    });
    group.bench_function("the same 1 KiB, built by descriptor", |bencher| {
        let build = |message: pb::PlaceOrderRequest| message.transcode_to_dynamic();
        bencher.iter_batched(message, build, BatchSize::SmallInput);
    });
    group.finish();
    criterion.final_summary();
}

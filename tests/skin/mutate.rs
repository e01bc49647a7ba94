//! Valid requests, changed at random, on every route and every gRPC port: none is answered as a fault, and no process ends.

use std::{collections::HashMap, env, sync::Arc};

use fastrand::Rng;
use kit::World;
use prost_reflect::DynamicMessage;
use tokio::task::JoinSet;
use tonic::{Code, transport::Channel};

use crate::{
    access::Objects,
    change,
    contract::{self, Rpc, sample},
    people::{People, Who},
    wire::{self, Wire},
};

/// Mutations of requests through REST.
pub(crate) const REST_MUTATIONS: usize = 14_000;
/// Mutations of calls on gRPC ports.
pub(crate) const GRPC_MUTATIONS: usize = 6_000;
/// What all else is drawn from, unless CARAVAN_MUTATION_SEED says another one.
const SEED: u64 = 6;
/// Requests under way at once.
const LANES: usize = 8;
/// How rarely those are drawn that cost a password hash each.
const HASHING_SHARE: f32 = 0.03;
/// Faults of one lane after which it stops.
const MAX_FAULTS: usize = 3;
/// Bytes of a request that a fault shows.
const MAX_SHOWN_BYTES: usize = 2_000;
/// Rpcs that are passed over, and why.
const PASSED_OVER: [(&str, &str); 2] = [
    (
        "RotateSigningKeys",
        "each call makes a key, of which there may be few",
    ),
    ("SetLogFilter", "the log is read when a test fails"),
];

/// Every rpc with a request that keeps its rules and has all fields.
pub(crate) struct Seeds {
    rpcs: Vec<(Rpc, DynamicMessage)>,
    tokens: HashMap<Who, String>,
    channels: HashMap<String, Channel>,
    gateway: String,
}

impl Seeds {
    pub(crate) fn of(world: &World, people: &People, objects: &Objects) -> Self {
        let is_passed_over = |rpc: &Rpc| {
            PASSED_OVER
                .iter()
                .any(|(name, _)| rpc.method.name() == *name)
        };
        let rpcs = contract::rpcs().into_iter();
        let rpcs = rpcs.filter(|rpc| !is_passed_over(rpc));
        let tokens = [Who::Owner, Who::Admin, Who::Service].map(|who| {
            let token = people.token(who).expect("they have one");
            (who, token.to_owned())
        });
        Self {
            rpcs: rpcs
                .map(|rpc| {
                    let message = sample(&rpc.method.input(), true, &|field| objects.known(field));
                    (rpc, message)
                })
                .collect(),
            tokens: tokens.into(),
            channels: contract::services()
                .into_iter()
                .map(|host| (host.clone(), wire::channel(world, &host)))
                .collect(),
            gateway: world.process("gateway").http.expect("it speaks HTTP"),
        }
    }

    fn draw(&self, rng: &mut Rng) -> &(Rpc, DynamicMessage) {
        loop {
            let drawn = rng.choice(&self.rpcs).expect("there are rpcs");
            let fields = drawn.0.method.input();
            let hashes = fields
                .fields()
                .any(|field| field.name().contains("password") || field.name().contains("secret"));
            if !hashes || rng.f32() < HASHING_SHARE {
                return drawn;
            }
        }
    }

    /// Somebody who may well be let in.
    fn token(&self, rng: &mut Rng) -> &str {
        let who = match rng.u8(..8) {
            0 => Who::Service,
            1..4 => Who::Owner,
            _ => Who::Admin,
        };
        &self.tokens[&who]
    }
}

/// The seed of this run.
fn seed() -> u64 {
    let given = env::var("CARAVAN_MUTATION_SEED");
    given
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(SEED)
}

/// What one mutation draws from: it does not depend on the others.
fn rng(number: usize) -> Rng {
    Rng::with_seed(seed().wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number as u64)
}

/// What came of changed requests.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) faults: Vec<String>,
    /// How many were still good: changes that nothing gets through would prove little.
    pub(crate) accepted: usize,
}

/// Sends so many changed requests through REST and to gRPC ports.
pub(crate) async fn run(seeds: Seeds, rest: usize, grpc: usize) -> Outcome {
    let seeds = Arc::new(seeds);
    let mut lanes = JoinSet::new();
    for lane in 0..LANES {
        lanes.spawn(rest_lane(seeds.clone(), (lane..rest).step_by(LANES)));
        lanes.spawn(grpc_lane(seeds.clone(), (lane..grpc).step_by(LANES)));
    }
    let outcomes = lanes.join_all().await.into_iter();
    outcomes.fold(Outcome::default(), |mut all, outcome| {
        all.faults.extend(outcome.faults);
        all.accepted += outcome.accepted;
        all
    })
}

/// What failed, with what it takes to see it again.
fn fault(number: usize, what: &str, sent: &[u8], came: &str) -> String {
    let sent = String::from_utf8_lossy(&sent[..sent.len().min(MAX_SHOWN_BYTES)]).into_owned();
    format!(
        "CARAVAN_MUTATION_SEED={} number {number}, {what}: {sent:?}\n  came {came}",
        seed()
    )
}

async fn rest_lane(seeds: Arc<Seeds>, numbers: impl Iterator<Item = usize>) -> Outcome {
    let mut wire = Wire::new(&seeds.gateway);
    let mut outcome = Outcome::default();
    for number in numbers {
        let rng = &mut rng(number);
        let (rpc, message) = seeds.draw(rng);
        let Some(route) = rng.choice(&rpc.routes) else {
            continue; // Its gRPC port is another lane's.
        };
        let token = seeds.token(rng);
        let request = change::rest(rng, route.ask(rpc, message), token);
        match wire.send(&request).await {
            Some(answer) if answer.status < 300 => outcome.accepted += 1,
            Some(answer) if answer.status < 500 => {}
            Some(answer) => {
                let came = format!("{}{}", answer.head, String::from_utf8_lossy(&answer.body));
                outcome
                    .faults
                    .push(fault(number, &rpc.path, &request, &came));
            }
            None => outcome
                .faults
                .push(fault(number, &rpc.path, &request, "nothing")),
        }
        if outcome.faults.len() >= MAX_FAULTS {
            break;
        }
    }
    outcome
}

async fn grpc_lane(seeds: Arc<Seeds>, numbers: impl Iterator<Item = usize>) -> Outcome {
    let mut outcome = Outcome::default();
    for number in numbers {
        // Other numbers than those of REST.
        let rng = &mut rng(number + (1 << 32));
        let (rpc, message) = seeds.draw(rng);
        let hosts = rpc.hosts();
        let host = rng.choice(&hosts).expect("somebody serves it");
        let bearer = format!("Bearer {}", seeds.token(rng));
        let (headers, body) = change::grpc(rng, message, &bearer);
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let channel = &seeds.channels[host];
        let streams = rpc.streams();
        let status = wire::call(channel, &rpc.path, &headers, body.clone(), streams).await;
        outcome.accepted += usize::from(status.code() == Code::Ok);
        if matches!(
            status.code(),
            Code::Internal | Code::Unknown | Code::DataLoss | Code::Unavailable
        ) {
            let came = format!("{status:?}, headers {headers:?}, body {body:02x?}");
            let what = format!("{host} {}", rpc.path);
            outcome.faults.push(fault(number, &what, &[], &came));
        }
        if outcome.faults.len() >= MAX_FAULTS {
            break;
        }
    }
    outcome
}

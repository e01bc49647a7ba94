//! Small bodies that unpack to huge ones, and lengths that promise more than comes.

use std::{fs, io::Write as _};

use flate2::{Compression, write::GzEncoder};
use kit::World;
use tonic::{Code, Status};

use crate::{
    access::Objects,
    change,
    contract::{self, Rpc, sample},
    people::{People, Who},
    wire::{self, Wire},
};

/// Zeros in one part of a bomb.
const PART_BYTES: usize = 16 << 20;
/// Parts of a bomb: a gigabyte in all, and a body limit's worth of bytes at most.
const PARTS: usize = 64;
/// Most memory that a process may take on for all bombs together: a few bodies of the largest size that are allowed.
const MAX_GROWTH_BYTES: u64 = 128 << 20;

/// A gigabyte of zeros: parts of gzip one after the other are one stream (RFC 1952).
fn bomb() -> Vec<u8> {
    let mut part = GzEncoder::new(Vec::new(), Compression::best());
    let zeros = vec![0; 1 << 20];
    for _ in 0..PART_BYTES / zeros.len() {
        part.write_all(&zeros).expect("into memory");
    }
    part.finish().expect("into memory").repeat(PARTS)
}

/// Resident memory of a process of the mesh, in bytes.
fn memory(world: &World, name: &str) -> u64 {
    let pid = world.process(name).pid.expect("it runs");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or_default() * 1024
}

/// Sends bombs to every route that takes a body and to every service; answers what came that should not.
pub(crate) async fn explode(world: &World, people: &People, objects: &Objects) -> Vec<String> {
    let bomb = bomb();
    assert!(bomb.len() < 4 << 20, "{}", bomb.len());
    let mut names = contract::services();
    names.push("gateway".to_owned());
    let before: Vec<_> = names.iter().map(|name| memory(world, name)).collect();

    let mut faults = through_rest(world, people, objects, &bomb).await;
    for host in contract::services() {
        faults.extend(directly(world, people, &host, &bomb).await);
    }

    for (name, before) in names.iter().zip(before) {
        let grown = memory(world, name).saturating_sub(before);
        if grown > MAX_GROWTH_BYTES {
            faults.push(format!("{name} has taken {grown} bytes more"));
        }
    }
    faults
}

async fn through_rest(
    world: &World,
    people: &People,
    objects: &Objects,
    bomb: &[u8],
) -> Vec<String> {
    let mut wire = Wire::to_gateway(world);
    let token = people.token(Who::Admin).expect("has one");
    let mut faults = Vec::new();
    let mut bombs = 0;
    for rpc in contract::rpcs() {
        let message = sample(&rpc.method.input(), true, &|field| objects.known(field));
        for route in &rpc.routes {
            let asked = route.ask(&rpc, &message);
            if asked.body.is_null() {
                continue;
            }
            for encoding in ["gzip", "deflate", "br", "zstd", "gzip, gzip"] {
                let headers = [
                    (
                        "authorization".to_owned(),
                        format!("Bearer {token}").into_bytes(),
                    ),
                    ("content-type".to_owned(), asked.content_type.into()),
                    ("content-encoding".to_owned(), encoding.into()),
                ];
                // The whole one now and then: what is refused is the encoding.
                let body = if bombs % 16 == 0 { bomb } else { &bomb[..1024] };
                let verb = asked.verb.to_string();
                let request = change::request(&verb, &asked.target(), &headers, body);
                bombs += 1;
                let status = wire.send(&request).await.map(|answer| answer.status);
                // RFC 6749 knows 400 only.
                let refusal = if asked.is_form { 400 } else { 415 };
                if status != Some(refusal) {
                    faults.push(format!("{verb} {} as {encoding}: {status:?}", asked.path));
                }
            }
        }
    }
    assert!(bombs > 50, "{bombs}");
    faults
}

async fn directly(world: &World, people: &People, host: &str, bomb: &[u8]) -> Vec<String> {
    let rpcs = contract::rpcs();
    // Ops is everywhere the same.
    let own = |rpc: &&Rpc| rpc.hosts() == [host] && !rpc.streams();
    let rpc = rpcs.iter().find(own).expect("it has an rpc of its own");
    let access = rpc.policy.access.clone().unwrap_or_default();
    let who = match access.services {
        true => Who::Service,
        false => Who::Admin,
    };
    let bearer = format!("Bearer {}", people.token(who).expect("has one"));
    let channel = wire::channel(world, host);
    let mut packed = contract::framed(bomb);
    packed[0] = 1;
    let mut promised = contract::framed(b"short");
    promised[1..5].copy_from_slice(&u32::MAX.to_be_bytes());
    let large = contract::framed(&vec![0; (4 << 20) + 1]);
    let mut faults = Vec::new();
    for (what, encoding, body, codes) in [
        (
            "a bomb",
            "gzip",
            packed.clone(),
            [Code::Unimplemented, Code::InvalidArgument],
        ),
        (
            "a bomb of no kind",
            "identity",
            packed,
            [Code::InvalidArgument, Code::Unimplemented],
        ),
        (
            "a promise",
            "identity",
            promised,
            [Code::OutOfRange, Code::InvalidArgument],
        ),
        (
            "too much",
            "identity",
            large,
            [Code::OutOfRange, Code::ResourceExhausted],
        ),
    ] {
        let headers = [
            ("authorization", bearer.as_str()),
            ("grpc-encoding", encoding),
        ];
        let status: Status = wire::call(&channel, &rpc.path, &headers, body, false).await;
        if !codes.contains(&status.code()) {
            faults.push(format!("{host} {}: {what}: {status:?}", rpc.path));
        }
    }
    faults
}

//! Hostile requests against a mesh that runs.

use std::collections::BTreeMap;

use kit::{Engine, World};

use crate::{
    access::Objects,
    bombs, inject,
    mutate::{self, GRPC_MUTATIONS, REST_MUTATIONS, Seeds},
    people::{People, setup},
};

/// The process of each name, and how often it was started again.
fn processes(world: &World) -> BTreeMap<String, (Option<u32>, u32)> {
    let processes = world.status().processes.into_iter();
    processes
        .map(|process| (process.name, (process.pid, process.restarts)))
        .collect()
}

/// A log that a person of ill will cannot write into: each line is one JSON object with a level of its own.
fn check_log(world: &World, faults: &mut Vec<String>) {
    let levels = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR"];
    for line in world.raw_log().lines() {
        match serde_json::from_str::<serde_json::Value>(line) {
            Ok(line) if levels.contains(&line["level"].as_str().unwrap_or_default()) => {
                if line["panic"].is_string() {
                    faults.push(format!("a panic: {line}"));
                }
            }
            _ => faults.push(format!("no line of a log: {line:?}")),
        }
    }
}

/// Two tests of each: one on SQLite and one on PostgreSQL.
macro_rules! on_both_engines {
    ($($story:ident),* $(,)?) => {$(
        mod $story {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_sqlite() {
                super::tell(kit::Engine::Sqlite, super::$story).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_postgres() {
                super::tell(kit::Engine::Postgres, super::$story).await;
            }
        }
    )*};
}

on_both_engines!(
    changed_requests_are_never_answered_as_faults,
    injected_text_stays_in_its_field_and_bombs_stay_packed,
);

async fn tell(engine: Engine, story: impl AsyncFnOnce(&World)) {
    if let Some(world) = World::start_with(setup(engine)).await {
        story(&world).await;
    }
}

async fn changed_requests_are_never_answered_as_faults(world: &World) {
    let people = People::of(world).await;
    let objects = Objects::of(world, &people).await;
    let before = processes(world);
    // Half on each engine.
    let (rest, grpc) = (REST_MUTATIONS / 2, GRPC_MUTATIONS / 2);
    let outcome = mutate::run(Seeds::of(world, &people, &objects), rest, grpc).await;
    let mut faults = outcome.faults;
    check_log(world, &mut faults);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(
        outcome.accepted > (rest + grpc) / 50,
        "{}",
        outcome.accepted
    );
    assert_eq!(processes(world), before, "each process is the one it was");
    world.anonymous().get("/v1/products").await.expect(200);
}

async fn injected_text_stays_in_its_field_and_bombs_stay_packed(world: &World) {
    let people = People::of(world).await;
    let objects = Objects::of(world, &people).await;
    let before = processes(world);
    let (sent, mut faults) = inject::everywhere(world, &people, &objects).await;
    assert!(sent > 5_000, "{sent}");
    faults.extend(inject::cursors(world, &people, &objects).await);
    faults.extend(inject::around_fields(world, &people).await);
    faults.extend(bombs::explode(world, &people, &objects).await);
    check_log(world, &mut faults);
    assert!(
        faults.is_empty(),
        "{} of {sent}: {}",
        faults.len(),
        faults.join("\n")
    );
    inject::nothing_else_changed(world, &people, &objects).await;
    assert_eq!(processes(world), before, "each process is the one it was");
}

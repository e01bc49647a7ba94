//! A million sagas that wait: the memory of a process that starts over them, and how soon a due one goes on.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kit::{Engine, wait::until};

use super::{
    history::Tables,
    orchestrator::{Orchestrator, PATIENT},
};

/// From now until the saga is due.
const DUE_IN: Duration = Duration::from_secs(3);
/// Numbers of the copies.
const FIRST: u64 = 1_000_000_000;

/// What was measured.
pub(super) struct Waiting {
    pub(super) sagas: u64,
    pub(super) resident_kib: u64,
    /// From the moment a saga was due to its call.
    pub(super) late: Duration,
}

/// # Panics
/// Where the engine is not there.
pub(super) async fn measure(engine: Engine, sagas: u64) -> Waiting {
    let started = Orchestrator::start(engine).await;
    let mut orchestrator = started.expect("the engine is there");
    let template = begin(&orchestrator, "template").await;
    let due = begin(&orchestrator, "due").await;
    let tables = Tables::open(engine, orchestrator.service.database()).await;
    tables.multiply(&template, FIRST, sagas).await;
    orchestrator.restart().await;

    let calls = orchestrator.participant.seen().len();
    let (at, clock) = (
        tokio::time::Instant::now() + DUE_IN,
        SystemTime::now() + DUE_IN,
    );
    let at_us = clock.duration_since(UNIX_EPOCH).expect("after 1970");
    tables.make_due(&due, at_us.as_micros() as i64).await;
    let called = until("a due saga goes on", || async {
        let seen = orchestrator.participant.seen();
        let mut new = seen.into_iter().skip(calls);
        new.find(|(saga, _)| *saga == due).ok_or("it waits")
    })
    .await;
    Waiting {
        sagas,
        resident_kib: orchestrator.service.resident_kib(),
        late: called.1.saturating_duration_since(at.into_std()),
    }
}

/// A saga whose first attempt has failed: it waits in its row.
async fn begin(orchestrator: &Orchestrator, key: &str) -> String {
    let id = orchestrator.begin(PATIENT, key).await;
    let id = id.expect("a saga starts");
    until("it waits", || async {
        let saga = orchestrator.saga(&id).await;
        saga.steps[0].next_attempt_time.ok_or("not yet")
    })
    .await;
    id
}

//! One of two replicas is killed while it works on many sagas: how soon the other has all of them.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use kit::{Engine, mesh::signal, wait::until};

use super::orchestrator::{HELD, Orchestrator};

/// Sagas under way.
const SAGAS: usize = 128;

/// What was measured.
pub(super) struct Takeover {
    pub(super) sagas: usize,
    /// From the kill until the first and until the last of them was called again.
    pub(super) first: Duration,
    pub(super) last: Duration,
}

/// With the default lease, on PostgreSQL.
///
/// # Panics
/// Where there is no PostgreSQL.
pub(super) async fn measure() -> Takeover {
    let started = Orchestrator::start(Engine::Postgres).await;
    let orchestrator = started.expect("the engine is there");
    for number in 0..SAGAS {
        let begun = orchestrator.begin(HELD, &format!("held-{number}")).await;
        begun.expect("a saga starts");
    }
    let participant = &orchestrator.participant;
    until("all are under way", || async {
        let calls = participant.seen().len();
        (calls >= SAGAS).then_some(()).ok_or(calls)
    })
    .await;
    let calls = participant.seen().len();
    let replica = async |_: &_| {
        signal(orchestrator.service.pid(), "KILL");
        let killed = Instant::now();
        let again = until("the other one has all of them", || async {
            let seen = participant.seen();
            let again = &seen[calls..];
            let sagas: HashSet<_> = again.iter().map(|(saga, _)| saga).collect();
            if sagas.len() >= SAGAS {
                Ok(again.iter().map(|(_, at)| *at).collect::<Vec<_>>())
            } else {
                Err(sagas.len())
            }
        })
        .await;
        participant.release();
        Takeover {
            sagas: SAGAS,
            first: again.iter().min().expect("some").duration_since(killed),
            last: again.iter().max().expect("some").duration_since(killed),
        }
    };
    orchestrator.service.beside(replica).await
}

//! Participants that do nothing: a real gRPC server, without barrier or ledger.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use alone::{Answer, Neighbour};
use chassis::call::{SAGA_ID, SAGA_STEP};
use tokio::sync::watch;
use tonic::{Status, codegen::Bytes};

/// A step of this name is refused as UNAVAILABLE, so that its saga waits.
pub(super) const WAITING_STEP: &str = "wait";
/// A step of this name is not answered until [`Participant::release`].
pub(super) const HELD_STEP: &str = "hold";

/// A running server. Ends with the value.
pub(super) struct Participant {
    server: Neighbour,
    /// Calls of waiting and held steps: whose, and when they came.
    seen: Seen,
    released: watch::Sender<bool>,
}

type Seen = Arc<Mutex<Vec<(String, Instant)>>>;

impl Participant {
    pub(super) async fn start() -> Self {
        let (seen, released) = (Seen::default(), watch::Sender::new(false));
        let (writing, gate) = (seen.clone(), released.subscribe());
        let server = Neighbour::builder().otherwise(move |_, metadata, _| {
            let text = |key| metadata.get(key).and_then(|value| value.to_str().ok());
            let step = text(SAGA_STEP).unwrap_or_default().to_owned();
            let special = step == WAITING_STEP || step == HELD_STEP;
            if special {
                let saga = text(SAGA_ID).unwrap_or_default().to_owned();
                let mut writing = writing.lock().unwrap_or_else(PoisonError::into_inner);
                writing.push((saga, Instant::now()));
            }
            let mut gate = gate.clone();
            async move {
                if step == WAITING_STEP {
                    return Answer::Refusal(Box::new(Status::unavailable("not now")));
                }
                if step == HELD_STEP {
                    let _ = gate.wait_for(|released| *released).await;
                }
                Answer::Reply(Bytes::new())
            }
        });
        Self {
            server: server.start().await,
            seen,
            released,
        }
    }

    pub(super) fn url(&self) -> &str {
        self.server.url()
    }

    /// Calls of waiting and held steps so far: whose, and when they came.
    pub(super) fn seen(&self) -> Vec<(String, Instant)> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Answers what is held, and holds nothing any more.
    pub(super) fn release(&self) {
        self.released.send_replace(true);
    }
}

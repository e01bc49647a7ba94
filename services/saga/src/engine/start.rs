//! New sagas: stored with their first intents in one commit, then started at once.

use std::sync::Arc;

use chassis::{
    clock, context,
    db::{Error as StoreError, Tx},
    outbox, telemetry,
};
use contracts::caravan::saga::v1 as pb;
use prost_reflect::DynamicMessage;
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

use super::{Engine, drive::Drive};
use crate::{
    domain::{
        Micros,
        definition::Definition,
        saga::{Advance, Saga},
    },
    events,
    store::sagas::{self, Hold, Next, Origin},
};

/// A saga that is about to be stored.
pub struct Beginning {
    saga: Saga,
    origin: Origin,
    advance: Advance,
    next: Next,
    now: Micros,
    /// `None`: no place is free, so the schedule starts it later.
    permit: Option<OwnedSemaphorePermit>,
}

impl Beginning {
    /// The new saga's id.
    pub fn id(&self) -> Uuid {
        self.saga.id()
    }

    /// Stores it, in the unit of work that asks for it. False, and nothing is stored, where its key is taken.
    ///
    /// # Errors
    /// The database's own.
    pub async fn insert(&self, tx: &Tx) -> Result<bool, StoreError> {
        let transitions = &self.advance.transitions;
        if !sagas::insert(
            tx,
            &self.saga,
            &self.origin,
            transitions,
            self.next,
            self.now,
        )
        .await?
        {
            return Ok(false);
        }
        let started = pb::SagaStarted {
            saga_id: self.saga.id().to_string(),
            definition: self.saga.definition().name.clone(),
            key: self.saga.key().to_owned(),
        };
        outbox::append(tx, &started).await?;
        events::publish::append(tx, &self.saga, transitions).await?;
        Ok(true)
    }
}

impl Engine {
    /// Decides the first steps of a new saga. Nothing is stored or called yet.
    pub fn prepare(
        &self,
        (version, definition): (i32, Arc<Definition>),
        key: String,
        message: &DynamicMessage,
        input: Vec<u8>,
    ) -> Beginning {
        let now = clock::now_us();
        let mut saga = Saga::start(definition, Uuid::now_v7(), key, message, now);
        let permit = self.permit();
        let (advance, next) = match &permit {
            Some(_) => {
                let advance = saga.advance(now);
                let next = self.outlook(&saga, now);
                (advance, next)
            }
            None => (
                Advance::default(),
                Next {
                    owner: None,
                    due_at: Some(now),
                },
            ),
        };
        let request_id = context::current().map(|context| context.request_id.to_string());
        let origin = Origin {
            version,
            input,
            traceparent: telemetry::traceparent(),
            request_id,
        };
        Beginning {
            saga,
            origin,
            advance,
            next,
            now,
            permit,
        }
    }

    /// Starts a saga that is stored.
    pub fn launch(&self, beginning: Beginning) {
        let Beginning {
            saga,
            origin,
            advance,
            next,
            now,
            permit,
        } = beginning;
        self.shared.metrics.started(&saga.definition().name);
        self.shared.metrics.ended(&saga, &advance.transitions);
        let (Some(permit), Some(_)) = (permit, next.owner) else {
            self.shared.places.wake();
            return;
        };
        let records = i32::try_from(advance.transitions.len()).unwrap_or(i32::MAX);
        let hold = Hold {
            epoch: 1,
            records,
            lease_until: self.lease_until(now),
        };
        let drive = Drive::new(self, saga, hold, permit);
        drive.spawn(
            origin.traceparent.as_deref(),
            origin.request_id.as_deref(),
            Some(advance.orders),
        );
    }
}

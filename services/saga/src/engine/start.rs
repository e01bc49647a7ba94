//! New sagas: stored with their first intents in one commit, then started at once.

use std::sync::Arc;

use chassis::{
    audit, clock, context,
    db::{Error as StoreError, Tx},
    outbox::Envelope,
    telemetry,
};
use prost_reflect::DynamicMessage;
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

use super::{Engine, drive::Drive};
use crate::{
    domain::{
        definition::Definition,
        saga::{Advance, Saga},
    },
    error::Error,
    events,
    store::{
        entity::{record, saga::Model},
        sagas::{self, Change, Hold, Next, Origin},
    },
};

/// A saga that is about to be stored.
pub struct Beginning {
    saga: Saga,
    change: Change,
    advance: Advance,
    owned: bool,
    /// `None`: no place is free, so the schedule starts it later.
    permit: Option<OwnedSemaphorePermit>,
}

impl Beginning {
    /// The saga.
    pub fn saga(&self) -> &Saga {
        &self.saga
    }

    /// Its row.
    pub fn row(&self) -> &Model {
        self.change.row()
    }

    /// Its first records.
    pub fn records(&self) -> &[record::Model] {
        self.change.records()
    }

    /// Stores it, in the unit of work that asks for it. False, and nothing is stored, where its key is taken.
    ///
    /// # Errors
    /// The database's own.
    pub async fn insert(&self, tx: &Tx) -> Result<bool, StoreError> {
        let stored = sagas::store(tx, std::slice::from_ref(&self.change)).await?;
        Ok(!stored.is_empty())
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
    ) -> Result<Beginning, Error> {
        let now = clock::now_us();
        let mut saga = Saga::start(definition, Uuid::now_v7(), key, message, now);
        let permit = self.permit();
        let (advance, next) = match &permit {
            Some(_) => {
                let advance = saga.advance(now);
                let next = self.outlook(&saga, now, None);
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
        let mut events = vec![events::publish::started(&saga)?];
        events.extend(events::publish::events(&saga, &advance.transitions, now)?);
        audit::target(saga.id());
        if let Some(record) = audit::take() {
            events.push(Envelope::of(&record)?);
        }
        let change = Change::insert(&saga, &origin, &advance.transitions, events, next);
        Ok(Beginning {
            saga,
            change,
            advance,
            owned: next.owner.is_some(),
            permit,
        })
    }

    /// Stores a saga beside others that begin or go on. False, and nothing is stored, where its key is taken.
    ///
    /// # Errors
    /// The database's own.
    pub async fn store(&self, beginning: &Beginning) -> Result<bool, StoreError> {
        self.shared.keeper.keep(beginning.change.clone()).await
    }

    /// Starts a saga that is stored.
    pub fn launch(&self, beginning: Beginning) {
        let Beginning {
            saga,
            change,
            advance,
            owned,
            permit,
        } = beginning;
        self.shared.metrics.started(&saga.definition().name);
        self.shared.metrics.ended(&saga, &advance.transitions);
        let (Some(permit), true) = (permit, owned) else {
            self.shared.places.wake();
            return;
        };
        let row = change.row();
        let hold = Hold {
            epoch: row.epoch,
            records: row.records,
            lease_until: row.due_at_us.unwrap_or(row.created_at_us),
        };
        let drive = Drive::new(self, saga, hold, permit);
        drive.spawn(
            row.traceparent.as_deref(),
            row.request_id.as_deref(),
            Some(advance.orders),
        );
    }
}

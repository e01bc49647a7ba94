//! What operators do to sagas.

use chassis::{audit, clock, db::Error as StoreError, outbox::Envelope};
use prost::bytes::Bytes;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::{Engine, drive::Command};
use crate::{
    domain::{
        saga::{Refused, Saga},
        transition::{Transition, Verdict},
    },
    error::Error,
    events,
    store::sagas::{self, Change, Hold, Next},
};

/// Tries to reach a saga that changes hands at the same moment.
const MAX_TRIES: u32 = 5;

/// What an operator does to a saga, who and why.
#[derive(Clone, Debug)]
pub enum Intervention {
    /// Puts a parked one to work again.
    Retry {
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// Aborts one before its pivot.
    Cancel {
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// Settles a step.
    Override {
        /// Who.
        by: String,
        /// Why.
        reason: String,
        /// The step's name.
        step: String,
        /// Which of its items.
        item: Option<u32>,
        /// What it came to.
        verdict: Verdict,
    },
    /// Sends it a signal.
    Signal {
        /// Who.
        by: String,
        /// Why.
        reason: String,
        /// The signal's name.
        signal: String,
        /// Tells it from others of its name.
        id: String,
        /// An encoded `google.protobuf.Struct`.
        payload: Bytes,
    },
}

impl Intervention {
    /// Does it, where the saga allows it.
    pub(super) fn apply(self, saga: &mut Saga) -> Result<Vec<Transition>, Refused> {
        match self {
            Self::Retry { by, reason } => saga.retry(by, reason),
            Self::Cancel { by, reason } => saga.cancel(by, reason),
            Self::Override {
                by,
                reason,
                step,
                item,
                verdict,
            } => saga.overridden((by, reason), (&step, item), verdict),
            Self::Signal {
                by,
                reason,
                signal,
                id,
                payload,
            } => saga.signal((by, reason), (&signal, id), payload),
        }
    }
}

impl Engine {
    /// Intervenes in a saga and answers once that is durable.
    ///
    /// # Errors
    /// [`Error::NoSaga`], [`Error::Refused`]; the database's own.
    pub async fn intervene(&self, id: Uuid, intervention: Intervention) -> Result<(), Error> {
        // Stored with what it does to the saga, by whoever has that.
        let audit = audit::take().map(|record| Envelope::of(&record));
        let audit = audit.transpose()?;
        for _ in 0..MAX_TRIES {
            let asked = (intervention.clone(), audit.clone());
            // A task of this process has it: it also records what its calls under way come to.
            if let Some(answer) = self.tell(id, asked.clone()).await {
                return answer.map_err(Error::from);
            }
            match self.overrule(id, asked).await {
                Err(Error::Store(StoreError::Conflict)) => {}
                answer => return answer,
            }
        }
        Err(StoreError::Conflict.into())
    }

    /// `None` where no task has it, or the task ended before it could take the command.
    async fn tell(
        &self,
        id: Uuid,
        (intervention, audit): (Intervention, Option<Envelope>),
    ) -> Option<Result<(), Refused>> {
        let commands = self.shared.places.commands(id)?;
        let (done, answer) = oneshot::channel();
        let command = Command {
            intervention,
            audit,
            done,
        };
        commands.send(command).await.ok()?;
        answer.await.ok()
    }

    /// Changes the saga under a new epoch, whoever has it, and leaves it to the schedule.
    async fn overrule(
        &self,
        id: Uuid,
        (intervention, audit): (Intervention, Option<Envelope>),
    ) -> Result<(), Error> {
        let row = sagas::find(self.shared.db.read(), id)
            .await?
            .ok_or(Error::NoSaga(id))?;
        let (mut saga, _) = self.load(&row).await?;
        let transitions = intervention.apply(&mut saga)?;
        if transitions.is_empty() {
            return Ok(());
        }
        let now = clock::now_us();
        let hold = Hold {
            epoch: row.epoch,
            records: row.records,
            lease_until: now,
        };
        let next = Next {
            owner: None,
            due_at: Some(now),
        };
        let mut events = events::publish::events(&saga, &transitions, now)?;
        events.extend(audit);
        let fenced = (hold, hold.epoch + 1);
        let change = Change::save(&saga, fenced, &transitions, events, next, now);
        if !self.shared.keeper.keep(change).await? {
            return Err(StoreError::Conflict.into());
        }
        self.shared.places.wake();
        Ok(())
    }
}

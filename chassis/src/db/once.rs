//! At most once: the saga barrier and idempotency keys.
//!
//! Both work alike. A row with the call's identity is inserted before the work and gets the reply after it,
//! in the work's own unit. Who comes second finds the row and answers the stored reply.

use std::{
    future::Future,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use prost::Message;
use sea_orm::ConnectionTrait;
use sha2::{Digest, Sha256};

use super::{Db, Error, Tx};
use crate::{
    call::{Call, SagaOperation, SagaStep},
    clock,
};

/// Epoch of a saga's first orchestrator.
const FIRST_EPOCH: i64 = 1;

/// What stands about a call already.
enum Claim {
    /// Nothing: the work may run.
    New,
    /// It was done; this was the answer.
    Done(Vec<u8>),
    /// A compensation for an action that never came: nothing is to be undone.
    NothingToUndo,
}

impl Db {
    /// Runs `unit` as [`Db::write`] does, but at most once for a saga step or an Idempotency-Key, and answers
    /// the first reply ever after, byte for byte. A call with neither runs each time.
    ///
    /// For a saga step it also keeps the barrier: a compensation that comes before its action changes nothing,
    /// answers an empty reply and leaves a mark; an action that comes after that mark is refused for good; an
    /// orchestrator whose epoch is over is refused. A step that is refused under a newer epoch than the first keeps that
    /// epoch all the same: an earlier attempt of the step that is still on its way does nothing any more.
    ///
    /// # Errors
    /// As [`Db::write`]; also [`Error::StepCompensated`], [`Error::StaleEpoch`], [`Error::KeyReused`].
    pub async fn once<R, E, F, Fut>(
        &self,
        call: &Call,
        request: &impl Message,
        mut unit: F,
    ) -> Result<R, E>
    where
        R: Message + Default,
        E: From<Error>,
        F: FnMut(Tx) -> Fut,
        Fut: Future<Output = Result<R, E>>,
    {
        let identity = Identity::of(call, request);
        let Some(identity) = &identity else {
            return self.write(unit).await;
        };
        let refused = AtomicBool::new(false);
        let (unit, flag) = (&mut unit, &refused);
        let done = self.write(move |tx| {
            // Of a run that was rolled back nothing counts.
            flag.store(false, Relaxed);
            let work = unit(tx.clone());
            async move {
                match identity.claim(&tx).await? {
                    Claim::Done(reply) => Ok(decode(&reply)?),
                    Claim::NothingToUndo => Ok(R::default()),
                    Claim::New => {
                        let reply = work.await.inspect_err(|_| flag.store(true, Relaxed))?;
                        identity.keep(&tx, reply.encode_to_vec()).await?;
                        Ok(reply)
                    }
                }
            }
        });
        let done = done.await;
        if let (Err(_), true, Identity::Step(step)) = (&done, refused.load(Relaxed), identity) {
            self.keep_epoch(step).await?;
        }
        done
    }

    /// A refused unit takes its epoch back with it; this keeps it. Nobody has attempts of an older epoch than the first.
    async fn keep_epoch(&self, step: &SagaStep) -> Result<(), Error> {
        if step.epoch <= FIRST_EPOCH || step.operation != SagaOperation::Action {
            return Ok(());
        }
        let overtaken: bool = self
            .write(|tx| async move {
                raise_epoch(&tx, step).await?;
                let done = Identity::Step(step.clone()).stored(&tx).await?;
                Ok::<_, Error>(done.is_some())
            })
            .await?;
        // An older attempt was done in between, so the refusal is not true any more.
        if overtaken {
            Err(Error::Conflict)
        } else {
            Ok(())
        }
    }

    /// The reply that [`Db::once`] would answer without running its unit, for handlers that call others first.
    ///
    /// # Errors
    /// [`Error::StepCompensated`] where the step must not run any more, [`Error::KeyReused`].
    pub async fn replay<R: Message + Default>(
        &self,
        call: &Call,
        request: &impl Message,
    ) -> Result<Option<R>, Error> {
        let Some(identity) = Identity::of(call, request) else {
            return Ok(None);
        };
        match identity.stored(self.read()).await? {
            Some(Claim::Done(reply)) => decode(&reply).map(Some),
            _ => Ok(None),
        }
    }
}

/// Refuses a saga step of an orchestrator whose epoch is over, and remembers the newest epoch.
///
/// [`Db::once`] does so itself. A handler that changes something elsewhere before its `once` calls this first, in a unit of
/// work of its own: what an old orchestrator asks for must not even begin.
///
/// # Errors
/// [`Error::StaleEpoch`]
pub async fn fence(tx: &Tx, call: &Call) -> Result<(), Error> {
    match &call.saga {
        Some(step) => raise_epoch(tx, step).await,
        None => Ok(()),
    }
}

/// Replaces the reply that [`Db::once`] keeps for this call, for work that a later unit ends.
///
/// The first unit keeps a reply that says that the work is under way, the last one the answer. A call with
/// neither saga step nor Idempotency-Key has no reply to replace.
///
/// # Errors
/// The database's own.
pub async fn amend_reply(
    tx: &Tx,
    call: &Call,
    request: &impl Message,
    reply: &impl Message,
) -> Result<(), Error> {
    match Identity::of(call, request) {
        Some(identity) => identity.keep(tx, reply.encode_to_vec()).await,
        None => Ok(()),
    }
}

fn decode<R: Message + Default>(reply: &[u8]) -> Result<R, Error> {
    R::decode(reply).map_err(|error| Error::Corrupt(format!("stored reply: {error}")))
}

/// What makes a call the same call.
enum Identity {
    Step(SagaStep),
    Key {
        caller: String,
        method: &'static str,
        key: String,
        request_hash: Vec<u8>,
    },
}

impl Identity {
    fn of(call: &Call, request: &impl Message) -> Option<Self> {
        if let Some(step) = &call.saga {
            return Some(Self::Step(step.clone()));
        }
        let key = call.idempotency_key.clone()?;
        let request_hash = Sha256::digest(request.encode_to_vec()).to_vec();
        Some(Self::Key {
            caller: call.caller.label(),
            method: call.method,
            key,
            request_hash,
        })
    }

    /// Inserts the row of this call, or says what stands there. On PostgreSQL it waits for a twin under way.
    async fn claim(&self, tx: &Tx) -> Result<Claim, Error> {
        if let Self::Step(step) = self {
            raise_epoch(tx, step).await?;
        }
        if !self.insert(tx).await? {
            // The row is there and its transaction is over, or it is our own batch's.
            return self.stored(tx).await?.ok_or(Error::Conflict);
        }
        match self {
            Self::Step(step) if step.operation == SagaOperation::Compensation => {
                let mark = Self::Step(SagaStep {
                    operation: SagaOperation::Action,
                    ..step.clone()
                });
                let never_acted = mark.insert(tx).await?;
                if never_acted {
                    self.keep(tx, Vec::new()).await?;
                }
                Ok(if never_acted {
                    Claim::NothingToUndo
                } else {
                    Claim::New
                })
            }
            _ => Ok(Claim::New),
        }
    }

    /// Whether there was no such row.
    async fn insert(&self, tx: &Tx) -> Result<bool, Error> {
        let now = clock::now_us();
        let statement = match self {
            Self::Step(step) => tx.statement(
                "INSERT INTO saga_barrier (saga_id, step, operation, created_at_us) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT DO NOTHING",
                [step.saga_id.into(), step.step.as_str().into(), step.operation.as_str().into(), now.into()],
            ),
            Self::Key { caller, method, key, request_hash } => tx.statement(
                "INSERT INTO idempotency (caller, method, key, request_hash, created_at_us) \
                 VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
                [caller.as_str().into(), (*method).into(), key.as_str().into(), request_hash.clone().into(), now.into()],
            ),
        };
        Ok(tx.execute_raw(statement).await?.rows_affected() == 1)
    }

    /// Stores the reply in the row of this call.
    async fn keep(&self, tx: &Tx, reply: Vec<u8>) -> Result<(), Error> {
        let statement = match self {
            Self::Step(step) => tx.statement(
                "UPDATE saga_barrier SET reply = $1 WHERE saga_id = $2 AND step = $3 AND operation = $4",
                [reply.into(), step.saga_id.into(), step.step.as_str().into(), step.operation.as_str().into()],
            ),
            Self::Key { caller, method, key, .. } => tx.statement(
                "UPDATE idempotency SET reply = $1 WHERE caller = $2 AND method = $3 AND key = $4",
                [reply.into(), caller.as_str().into(), (*method).into(), key.as_str().into()],
            ),
        };
        tx.execute_raw(statement).await?;
        Ok(())
    }

    /// What the row of this call says, where there is one.
    async fn stored(&self, connection: &impl ConnectionTrait) -> Result<Option<Claim>, Error> {
        let backend = connection.get_database_backend();
        let statement = |sql: &str, values: Vec<sea_orm::Value>| {
            sea_orm::Statement::from_sql_and_values(backend, sql, values)
        };
        match self {
            Self::Step(step) => {
                let row = connection
                    .query_one_raw(statement(
                        "SELECT reply FROM saga_barrier WHERE saga_id = $1 AND step = $2 AND operation = $3",
                        vec![step.saga_id.into(), step.step.as_str().into(), step.operation.as_str().into()],
                    ))
                    .await?;
                let Some(row) = row else { return Ok(None) };
                match row.try_get::<Option<Vec<u8>>>("", "reply")? {
                    Some(reply) => Ok(Some(Claim::Done(reply))),
                    // Only a compensation leaves an action's row without a reply.
                    None => Err(Error::StepCompensated),
                }
            }
            Self::Key {
                caller,
                method,
                key,
                request_hash,
            } => {
                let row = connection
                    .query_one_raw(statement(
                        "SELECT request_hash, reply FROM idempotency WHERE caller = $1 AND method = $2 AND key = $3",
                        vec![caller.as_str().into(), (*method).into(), key.as_str().into()],
                    ))
                    .await?;
                let Some(row) = row else { return Ok(None) };
                if row.try_get::<Vec<u8>>("", "request_hash")? != *request_hash {
                    return Err(Error::KeyReused);
                }
                Ok(row
                    .try_get::<Option<Vec<u8>>>("", "reply")?
                    .map(Claim::Done))
            }
        }
    }
}

/// Remembers the newest epoch of a saga and refuses older ones.
async fn raise_epoch(tx: &Tx, step: &SagaStep) -> Result<(), Error> {
    let raised = tx
        .execute_raw(tx.statement(
            "INSERT INTO saga_epochs (saga_id, epoch, seen_at_us) VALUES ($1, $2, $3) \
             ON CONFLICT (saga_id) DO UPDATE SET epoch = excluded.epoch, seen_at_us = excluded.seen_at_us \
             WHERE saga_epochs.epoch <= excluded.epoch",
            [step.saga_id.into(), step.epoch.into(), clock::now_us().into()],
        ))
        .await?;
    if raised.rows_affected() == 1 {
        Ok(())
    } else {
        Err(Error::StaleEpoch)
    }
}

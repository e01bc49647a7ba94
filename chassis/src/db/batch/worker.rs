//! Who runs batches: claims, hands out turns and commits.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use sea_orm::{DbBackend, DbErr, Statement};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};
use uuid::Uuid;

use super::{Claim, MAX_UNITS, Turn, Waiting};
use crate::{
    clock,
    db::{deferred, error, link::Link, metrics, pool::Pool, tx::Tx},
};

/// Age of a batch from which on no further unit begins in it: its locks are held until it ends.
const BATCH_TIME: Duration = Duration::from_millis(100);
/// Longest time of one unit in a batch.
const UNIT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a transaction waits for the batch that it began ahead of.
const BEGUN_FOR: Duration = Duration::from_millis(20);

/// Runs batches, one after another: of one process no two batches ever wait for each other.
pub(super) struct Worker {
    pool: Arc<Pool>,
    /// `None` before the first batch and after a failure.
    link: Option<Arc<Link>>,
    /// The transaction of the next batch began with the COMMIT of the last one.
    begun: bool,
}

/// Why a batch is undone.
enum Undone {
    /// A unit did not end well.
    Unit,
    Database(DbErr),
}

impl From<DbErr> for Undone {
    fn from(error: DbErr) -> Self {
        Self::Database(error)
    }
}

impl Worker {
    /// Connects when it is needed.
    pub(super) fn new(pool: Arc<Pool>) -> Self {
        Self {
            pool,
            link: None,
            begun: false,
        }
    }

    /// Runs batches of those who wait until nobody can come any more.
    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Waiting>) {
        let mut most = MAX_UNITS;
        loop {
            let next = match self.begun {
                true => timeout(BEGUN_FOR, queue.recv()).await,
                false => Ok(queue.recv().await),
            };
            let first = match next {
                Ok(Some(first)) => first,
                Ok(None) => return,
                Err(_) => {
                    self.roll_back().await;
                    continue;
                }
            };
            let mut waiting = vec![first];
            while waiting.len() < most
                && let Ok(next) = queue.try_recv()
            {
                waiting.push(next);
            }
            if most == 1 && !self.begun {
                // After much harm: it runs alone, and the next batch may be larger again.
                most = 2;
                continue;
            }
            // Also of one, so that those who come meanwhile share the next one.
            let kept = self.batch(waiting, || !queue.is_empty()).await;
            most = match kept {
                true => MAX_UNITS.min(most * 2),
                false => (most / 4).max(1),
            };
        }
    }

    /// Runs a batch. Whether it was kept.
    async fn batch(&mut self, waiting: Vec<Waiting>, more: impl Fn() -> bool) -> bool {
        // Dropped at the end: until then those who wait do not run alone.
        let kept = watch::Sender::new(false);
        let done = match self.link().await {
            Ok(link) => self.units(&link, waiting, &kept, more).await,
            Err(error) => Err(error.into()),
        };
        match done {
            Ok(units) => {
                kept.send_replace(true);
                metrics::commit();
                (0..units).for_each(|_| metrics::unit());
                true
            }
            Err(undone) => {
                if let Undone::Database(error) = undone {
                    tracing::debug!(%error, "a batch of events was undone; each is handled alone");
                }
                self.roll_back().await;
                false
            }
        }
    }

    /// Runs units up to their commit. How many.
    async fn units(
        &mut self,
        link: &Arc<Link>,
        waiting: Vec<Waiting>,
        kept: &watch::Sender<bool>,
        more: impl Fn() -> bool,
    ) -> Result<u64, Undone> {
        let claims: Vec<_> = waiting.iter().map(|unit| &unit.claim).collect();
        let mut claimed = claim_all(link, &claims).await?;
        let (mut units, mut left, mut events) = (0, Vec::new(), Vec::new());
        let began = Instant::now();
        for Waiting { claim, turn } in waiting {
            // Handled before, or another replica's now: alone it finds out.
            if !claimed.remove(&(claim.consumer.clone(), claim.event_id)) {
                continue;
            }
            let (tx, notes) = Tx::claimed(link.clone());
            let (ended, end) = oneshot::channel();
            let is_late = began.elapsed() > BATCH_TIME;
            let given = Turn {
                tx,
                notes: notes.clone(),
                ended,
                kept: kept.subscribe(),
            };
            // Its caller may have gone away while it waited.
            if is_late || turn.send(given).is_err() {
                left.push(claim);
                continue;
            }
            let ended = timeout(UNIT_TIMEOUT, end).await;
            notes.end();
            if !matches!(ended, Ok(Ok(()))) || notes.failed() {
                return Err(Undone::Unit);
            }
            events.append(&mut notes.take_deferred());
            units += 1;
        }
        if !left.is_empty() {
            give_up(link, &left).await?;
        }
        let begin_next = more();
        let commit = match begin_next {
            true => "COMMIT AND CHAIN",
            false => "COMMIT",
        };
        link.execute_unprepared(&deferred::then(&events, commit))
            .await?;
        self.begun = begin_next;
        Ok(units)
    }

    /// The connection, in a transaction.
    async fn link(&mut self) -> Result<Arc<Link>, DbErr> {
        if let Some(link) = &self.link {
            if self.begun {
                return Ok(link.clone());
            }
            match link.execute_unprepared("BEGIN").await {
                Ok(_) => return Ok(link.clone()),
                Err(error) if error::is_connection_broken(&error) => {}
                Err(error) => return Err(error),
            }
        }
        self.link = None;
        let link = Arc::new(Link::postgres(self.pool.connect().await?));
        link.execute_unprepared(deferred::BEGIN_FIRST).await?;
        Ok(self.link.insert(link).clone())
    }

    async fn roll_back(&mut self) {
        self.begun = false;
        if let Some(link) = self.link.take()
            && link.execute_unprepared("ROLLBACK").await.is_ok()
        {
            self.link = Some(link);
        }
    }
}

/// Claims events, and answers which were new. One parameter, so that the statement is the same for any number of them and
/// stays prepared.
async fn claim_all(link: &Link, claims: &[&Claim]) -> Result<HashSet<(String, Uuid)>, DbErr> {
    let statement = Statement::from_sql_and_values(
        DbBackend::Postgres,
        "INSERT INTO inbox (consumer, event_id, handled_at_us) SELECT consumer, event_id, $2 \
         FROM json_to_recordset($1::json) AS claim (consumer text, event_id uuid, epoch bigint) \
         WHERE NOT EXISTS (SELECT 1 FROM consumers WHERE consumers.consumer = claim.consumer AND consumers.epoch > claim.epoch) \
         ON CONFLICT DO NOTHING RETURNING consumer, event_id",
        [as_json(claims).into(), clock::now_us().into()],
    );
    let rows = link.query(statement).await?.into_iter();
    rows.map(|row| Ok((row.try_get("", "consumer")?, row.try_get("", "event_id")?)))
        .collect()
}

/// Takes claims back.
async fn give_up(link: &Link, claims: &[Claim]) -> Result<(), DbErr> {
    let statement = Statement::from_sql_and_values(
        DbBackend::Postgres,
        "DELETE FROM inbox USING json_to_recordset($1::json) AS claim (consumer text, event_id uuid) \
         WHERE inbox.consumer = claim.consumer AND inbox.event_id = claim.event_id",
        [as_json(&claims.iter().collect::<Vec<_>>()).into()],
    );
    link.execute(statement).await.map(drop)
}

fn as_json(claims: &[&Claim]) -> String {
    // Texts and numbers always serialise.
    serde_json::to_string(claims).unwrap_or_default()
}

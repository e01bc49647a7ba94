//! How a participant serves a call: as the test says, and its work behind the barrier.

use std::{collections::VecDeque, sync::atomic::Ordering::Relaxed};

use alone::Answer;
use chassis::{Classify, db::Error, status};
use contracts::caravan::payment::v1 as payment;
use prost::{Message, bytes::Bytes};
use sea_orm::{ConnectionTrait, Statement};
use tonic::{Code, Status};

use super::{Asked, Fate, Shared, Verdict, Visit, lock};

impl Shared {
    fn visit(&self, asked: &Asked) -> Visit {
        let label = asked.label();
        let mut visits = lock(&self.visits);
        let number = visits
            .entry((asked.order.clone(), label.clone()))
            .or_default();
        *number += 1;
        Visit {
            label,
            number: *number,
            done: false,
        }
    }

    pub(super) async fn serve(&self, asked: Asked) -> Answer {
        lock(&self.calls).push((asked.method.clone(), asked.step.epoch));
        lock(&self.traces)
            .entry(asked.order.clone())
            .or_default()
            .push(asked.trace.clone());
        let visit = self.visit(&asked);
        let watcher = lock(&self.watchers).get(&asked.order).cloned();
        if let Some(watcher) = &watcher {
            match watcher(visit.clone()).await {
                Verdict::Fine => {}
                Verdict::Lost => return Answer::Lost,
                Verdict::Refused(code) => return refused(code, "REFUSED"),
            }
        }
        let fate = lock(&self.fates)
            .get_mut(&*asked.method)
            .and_then(VecDeque::pop_front);
        let result = match &fate {
            Some(Fate::Status(code, reason)) => {
                Err(status::with_reason(*code, reason, "as the test says"))
            }
            Some(Fate::Held(gate)) => {
                gate.notified().await;
                self.work(&asked).await
            }
            Some(Fate::Refused(rule)) => self.refuse(&asked, rule).await,
            Some(Fate::Lost | Fate::Twice) | None => self.work(&asked).await,
        };
        if let Ok(reply) = &result {
            let call = (asked.order.clone(), asked.label());
            lock(&self.replies).insert(call, reply.clone());
        }
        let reason = result
            .as_ref()
            .map_or_else(status::reason, |_| String::new());
        lock(&self.answers).push((asked.method.clone(), reason));
        if let Some(watcher) = watcher
            && watcher(visit.done()).await == Verdict::Lost
        {
            return Answer::Lost;
        }
        match (fate, result) {
            (Some(Fate::Lost), _) => Answer::Lost,
            (Some(Fate::Twice), Ok(reply)) => Answer::Twice(reply),
            (_, Ok(reply)) => Answer::Reply(self.talk(&asked, reply)),
            (_, Err(status)) => Answer::Refusal(Box::new(status)),
        }
    }

    /// Writes the effect down, behind the barrier.
    async fn work(&self, asked: &Asked) -> Result<Bytes, Status> {
        if asked.method != "AuthorizePayment" {
            return self.once(asked, ()).await;
        }
        let payment = payment::Payment {
            order_id: asked.order.clone(),
            ..Default::default()
        };
        let reply = payment::AuthorizePaymentResponse {
            payment: Some(payment),
        };
        self.once(asked, reply).await
    }

    /// The reply, with as much beside it as the test says.
    fn talk(&self, asked: &Asked, reply: Bytes) -> Bytes {
        let bytes = self.talk_bytes.load(Relaxed);
        if bytes == 0 || asked.method != "AuthorizePayment" {
            return reply;
        }
        let mut reply = payment::AuthorizePaymentResponse::decode(reply).expect("its reply");
        let payment = reply.payment.get_or_insert_default();
        payment.provider_reference = "x".repeat(bytes);
        reply.encode_to_vec().into()
    }

    /// Says no behind the barrier.
    async fn refuse(&self, asked: &Asked, rule: &'static str) -> Result<Bytes, Status> {
        let (call, unit) = (asked.call(), |_| async { Err::<(), _>(No::Rule(rule)) });
        let refused = self.ledger.once(&call, &(), unit).await;
        refused
            .map(|()| Bytes::new())
            .map_err(|no| status::from_error(&no))
    }

    async fn once<R: Message + Default + Clone>(
        &self,
        asked: &Asked,
        reply: R,
    ) -> Result<Bytes, Status> {
        let call = asked.call();
        let reply = &reply;
        let unit = |tx: chassis::db::Tx| async move {
            let sql = "INSERT INTO effects (order_id, effect, label) VALUES ($1, $2, $3)";
            let values = [&asked.order, &asked.effect, &asked.label()].map(|text| text.into());
            let backend = tx.get_database_backend();
            tx.execute_raw(Statement::from_sql_and_values(backend, sql, values))
                .await?;
            Ok(reply.clone())
        };
        let done: Result<R, Error> = self.ledger.once(&call, &(), unit).await;
        done.map(|reply| reply.encode_to_vec().into())
            .map_err(|error| status::from_error(&error))
    }
}

fn refused(code: Code, reason: &str) -> Answer {
    Answer::Refusal(Box::new(status::with_reason(
        code,
        reason,
        "as the test says",
    )))
}

/// Why a unit of work does nothing.
#[derive(Debug, thiserror::Error)]
enum No {
    #[error("as the test says")]
    Rule(&'static str),
    #[error(transparent)]
    Ledger(#[from] Error),
}

impl Classify for No {
    fn code(&self) -> Code {
        match self {
            Self::Rule(_) => Code::FailedPrecondition,
            Self::Ledger(error) => error.code(),
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Rule(rule) => rule,
            Self::Ledger(error) => error.reason(),
        }
    }
}

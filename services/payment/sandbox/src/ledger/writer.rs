//! The one task that writes. A disk does few syncs a second, so all requests that wait share a commit.

use anyhow::Context;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr,
    EntityTrait, QueryFilter, SqliteTransactionMode, TransactionOptions, TransactionTrait,
};
use time::OffsetDateTime;
use tokio::sync::mpsc;

use super::{Answer, Job, apply, entity::answer};
use crate::error::ApiError;

/// Requests in one commit.
const MAX_BATCH_JOBS: usize = 256;
/// Stripe forgets a key after a day.
const KEEP_ANSWERS_S: i64 = 24 * 60 * 60;

/// The ledger's writer; ends when no [`super::Ledger`] is left.
pub(crate) struct Writer {
    db: DatabaseConnection,
    jobs: mpsc::Receiver<Job>,
}

impl Writer {
    pub(super) async fn new(
        db: DatabaseConnection,
        jobs: mpsc::Receiver<Job>,
    ) -> Result<Self, DbErr> {
        db.execute_unprepared(include_str!("schema.sql")).await?;
        let expired = OffsetDateTime::now_utc().unix_timestamp() - KEEP_ANSWERS_S;
        answer::Entity::delete_many()
            .filter(answer::Column::CreatedS.lt(expired))
            .exec(&db)
            .await?;
        Ok(Self { db, jobs })
    }

    pub(crate) async fn run(mut self) -> anyhow::Result<()> {
        let mut batch = Vec::with_capacity(MAX_BATCH_JOBS);
        while self.jobs.recv_many(&mut batch, MAX_BATCH_JOBS).await > 0 {
            match self.commit(&batch).await {
                Ok(answers) => {
                    for (job, answer) in batch.drain(..).zip(answers) {
                        // A caller that went away asks again with its key.
                        let _ = job.answer.send(Some(answer));
                    }
                }
                Err(error) => {
                    tracing::error!(%error, requests = batch.len(), "the ledger failed; nothing was written");
                    for job in batch.drain(..) {
                        let _ = job.answer.send(None);
                    }
                }
            }
        }
        self.db.close().await.context("cannot close the ledger")
    }

    async fn commit(&self, batch: &[Job]) -> Result<Vec<Answer>, DbErr> {
        let immediate = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let tx = self.db.begin_with_options(immediate).await?;
        let mut answers = Vec::with_capacity(batch.len());
        for job in batch {
            answers.push(answer_once(&tx, job).await?);
        }
        tx.commit().await?;
        Ok(answers)
    }
}

/// The kept answer where the key is known, else the command's own, which is then kept.
async fn answer_once(tx: &DatabaseTransaction, job: &Job) -> Result<Answer, DbErr> {
    let Some(key) = &job.key else {
        return execute(tx, job).await;
    };
    if let Some(kept) = answer::Entity::find_by_id(&key.key).one(tx).await? {
        if kept.request != key.request {
            return Ok(refusal(&ApiError::other_parameters()));
        }
        return Ok(Answer {
            status: u16::try_from(kept.status).unwrap_or(500),
            body: kept.body,
            replayed: true,
        });
    }
    let answer = execute(tx, job).await?;
    answer::Entity::insert(answer::ActiveModel {
        key: Set(key.key.clone()),
        request: Set(key.request.clone()),
        status: Set(i32::from(answer.status)),
        body: Set(answer.body.clone()),
        created_s: Set(OffsetDateTime::now_utc().unix_timestamp()),
    })
    .exec_without_returning(tx)
    .await?;
    Ok(answer)
}

async fn execute(tx: &DatabaseTransaction, job: &Job) -> Result<Answer, DbErr> {
    Ok(match apply::apply(tx, &job.command).await? {
        Ok(body) => Answer {
            status: 200,
            body: body.to_string(),
            replayed: false,
        },
        Err(error) => refusal(&error),
    })
}

fn refusal(error: &ApiError) -> Answer {
    Answer {
        status: error.status.as_u16(),
        body: error.body().to_string(),
        replayed: false,
    }
}

//! How far the outbox, the consumers and the projections are.

use contracts::caravan::ops::v1 as pb;

use super::{Error, Ops};
use crate::{
    clock,
    db::Db,
    events::{dead_letter, registry::Entry},
    outbox::{self, archive},
    projection, telemetry,
};

pub(super) async fn get(ops: &Ops) -> Result<pb::GetStatusResponse, Error> {
    let mut answer = pb::GetStatusResponse {
        service: ops.kit.name().to_owned(),
        log_filter: telemetry::filter(),
        ..Default::default()
    };
    let Ok(db) = ops.db() else { return Ok(answer) };
    let lag = outbox::lag(&db).await?;
    answer.outbox = Some(pb::OutboxStatus {
        unsent: lag.unsent,
        oldest_unsent_at: lag.oldest_us.map(clock::timestamp_us),
        last_position: archive::last_position(&db).await?,
    });
    for (durable, entry) in db.consumers().all() {
        answer.consumers.push(consumer(&db, durable, entry).await?);
    }
    answer.projections = projection::all(db.read())
        .await?
        .into_iter()
        .map(|state| pb::ProjectionStatus {
            projection: state.projection,
            serving_generation: state.serving,
            building_generation: state.building.unwrap_or_default(),
        })
        .collect();
    Ok(answer)
}

async fn consumer(db: &Db, durable: String, entry: Entry) -> Result<pb::ConsumerStatus, Error> {
    let broken = |error: &dyn std::error::Error| Error::Unavailable(error.to_string());
    let publisher = entry.subject.split('.').next().unwrap_or_default();
    let stream = crate::events::stream::ensure(&entry.jetstream, publisher)
        .await
        .map_err(|error| broken(&error))?;
    // None before the consumer has first met its broker.
    let info = stream.consumer_info(&durable).await.ok();
    Ok(pb::ConsumerStatus {
        dead_letters: dead_letter::count(db, &durable).await?,
        consumer: durable,
        subject: entry.subject,
        is_active: entry.is_active,
        pending: info.as_ref().map_or(0, |info| info.num_pending),
        in_flight: info.as_ref().map_or(0, |info| info.num_ack_pending as u64),
    })
}

pub(super) async fn rebuild(
    ops: &Ops,
    request: pb::RebuildProjectionRequest,
) -> Result<pb::RebuildProjectionResponse, Error> {
    let db = ops.db()?;
    let generation = projection::rebuild(&db, &request.projection).await?;
    let generation =
        generation.ok_or_else(|| Error::NotFound(format!("projection {}", request.projection)))?;
    Ok(pb::RebuildProjectionResponse { generation })
}

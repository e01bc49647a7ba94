//! Events that were published: listed, compared with the stream, handed out again.

use contracts::caravan::ops::v1 as pb;

use super::{Error, Ops};
use crate::{
    clock,
    events::replay,
    outbox::{self, archive},
};

pub(super) async fn list(
    ops: &Ops,
    request: pb::ListEventsRequest,
) -> Result<pb::ListEventsResponse, Error> {
    Ok(archive::list(&ops.db()?, &request).await?)
}

pub(super) async fn verify(
    ops: &Ops,
    request: pb::VerifyEventsRequest,
) -> Result<pb::VerifyEventsResponse, Error> {
    let (db, jetstream) = (ops.db()?, ops.jetstream().await?);
    outbox::verify(&db, &jetstream, ops.kit.name(), request.repair)
        .await
        .map_err(|error| Error::Unavailable(error.to_string()))
}

pub(super) async fn replay(
    ops: &Ops,
    request: pb::ReplayEventsRequest,
) -> Result<pb::ReplayEventsResponse, Error> {
    let db = ops.db()?;
    let entry = db.consumers().get(&request.consumer);
    let entry = entry.ok_or_else(|| Error::NotFound(format!("consumer {}", request.consumer)))?;
    let from_us = request
        .from
        .as_ref()
        .and_then(clock::from_timestamp)
        .map(clock::to_us);
    let replayed = replay::replay(&db, &request.consumer, &entry, from_us)
        .await
        .map_err(|status| Error::Unavailable(status.message().to_owned()))?;
    Ok(pb::ReplayEventsResponse {
        events: replayed.events,
        handled: replayed.handled,
        dead_letters: replayed.dead_letters,
    })
}

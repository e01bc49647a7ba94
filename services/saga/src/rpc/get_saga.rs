//! One saga with every step and attempt.

use chassis::Call;
use contracts::caravan::saga::v1 as pb;
use uuid::Uuid;

use super::{Rpc, convert};
use crate::{
    error::Error,
    store::{self, entity::saga::Model},
};

pub(super) async fn handle(
    rpc: &Rpc,
    _call: Call,
    request: pb::GetSagaRequest,
) -> Result<pb::GetSagaResponse, Error> {
    let saga = read(rpc, convert::saga_id(&request.saga_id)?).await?;
    Ok(pb::GetSagaResponse { saga: Some(saga) })
}

/// The saga as it stands.
pub(super) async fn read(rpc: &Rpc, id: Uuid) -> Result<pb::Saga, Error> {
    of_row(rpc, &row(rpc, id).await?).await
}

/// The saga of a row.
pub(super) async fn of_row(rpc: &Rpc, row: &Model) -> Result<pb::Saga, Error> {
    let (saga, log) = rpc.engine.load(row).await?;
    Ok(pb::Saga {
        steps: convert::steps(&saga, &log),
        interventions: convert::interventions(&saga, &log)?,
        ..convert::saga(row)
    })
}

/// The saga's row.
pub(super) async fn row(rpc: &Rpc, id: Uuid) -> Result<Model, Error> {
    let row = store::sagas::find(rpc.engine.db().read(), id).await?;
    row.ok_or(Error::NoSaga(id))
}

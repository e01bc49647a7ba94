//! Streams a saga: now, and after each change, until it ends or the service goes.

use std::time::Duration;

use chassis::Call;
use contracts::caravan::saga::v1 as pb;
use futures::{Stream, stream};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, sleep, sleep_until},
};
use uuid::Uuid;

use super::{Rpc, convert, get_saga};
use crate::{error::Error, store};

/// Longest stream; then it ends and the caller may ask again. Below the contract's deadline of the rpc.
const MAX_WATCH: Duration = Duration::from_secs(240);
/// Time between two looks: any replica may be the one that works on the saga.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// Sagas watched at a time: each look is a read.
pub(super) const MAX_WATCHES: usize = 256;

struct Watch {
    rpc: Rpc,
    id: Uuid,
    /// Epoch and records that the caller has seen.
    seen: Option<(i64, i32)>,
    ends: Instant,
    over: bool,
    _place: OwnedSemaphorePermit,
}

pub(super) async fn handle(
    rpc: &Rpc,
    _call: Call,
    request: pb::WatchSagaRequest,
) -> Result<impl Stream<Item = Result<pb::WatchSagaResponse, Error>> + use<>, Error> {
    let id = convert::saga_id(&request.saga_id)?;
    let place = rpc.watches.clone().try_acquire_owned();
    let watch = Watch {
        rpc: rpc.clone(),
        id,
        seen: None,
        ends: Instant::now() + MAX_WATCH,
        over: false,
        _place: place.map_err(|_| Error::TooManyWatches)?,
    };
    get_saga::row(rpc, id).await?;
    Ok(stream::unfold(watch, async |mut watch| {
        let next = watch.next().await?;
        Some((next, watch))
    }))
}

impl Watch {
    /// The saga once it differs from what was seen; `None` at the end.
    async fn next(&mut self) -> Option<Result<pb::WatchSagaResponse, Error>> {
        if self.over {
            return None;
        }
        loop {
            let read = self.rpc.engine.db().read();
            match store::sagas::version(read, self.id).await {
                Ok(found) if found.is_some() && found == self.seen => {}
                Ok(found) => {
                    self.seen = found;
                    break;
                }
                Err(error) => {
                    self.over = true;
                    return Some(Err(error.into()));
                }
            }
            tokio::select! {
                () = sleep(LOOK_INTERVAL) => {}
                () = sleep_until(self.ends) => return None,
                () = self.rpc.drain.cancelled() => return None,
            }
        }
        let saga = get_saga::read(&self.rpc, self.id).await;
        self.over = saga.as_ref().map_or(true, |saga| {
            matches!(
                saga.state(),
                pb::SagaState::Completed | pb::SagaState::Compensated
            )
        });
        Some(saga.map(|saga| pb::WatchSagaResponse { saga: Some(saga) }))
    }
}

//! Streams an order: now, and after each change, until it can no longer change or the service goes.

use std::time::Duration;

use chassis::Call;
use contracts::caravan::ordering::v1 as pb;
use futures::{Stream, stream};
use tokio::time::Instant;

use super::Rpc;
use crate::{domain::order::Order, error::Error, message, store, watch::Watcher};

/// Longest stream; then it ends and the caller may ask again. Below the contract's deadline of the rpc.
const MAX_WATCH: Duration = Duration::from_secs(240);

struct Watch {
    rpc: Rpc,
    watcher: Watcher,
    /// The version that the caller has seen; 0 before the first.
    seen: i64,
    ends: Instant,
    over: bool,
}

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    request: pb::WatchOrderRequest,
) -> Result<impl Stream<Item = Result<pb::WatchOrderResponse, Error>> + use<>, Error> {
    let id = message::order_id(&request.order_id)?;
    rpc.visible_order(&call, id).await?;
    let watcher = rpc.watchers.watch(id).ok_or(Error::TooManyWatchers)?;
    let watch = Watch {
        rpc: rpc.clone(),
        watcher,
        seen: 0,
        ends: Instant::now() + MAX_WATCH,
        over: false,
    };
    Ok(stream::unfold(watch, move |mut watch| async move {
        if watch.over {
            return None;
        }
        let rpc = watch.rpc.clone();
        let seen = watch.seen;
        let read = || async {
            store::orders::find(rpc.db.read(), id)
                .await?
                .ok_or(Error::NotFound(id))
        };
        let next = watch
            .watcher
            .until(read, |order: &Order| order.parts().version > seen);
        let next = tokio::select! {
            next = tokio::time::timeout_at(watch.ends, next) => next.ok()?,
            () = rpc.drain.cancelled() => return None,
        };
        match next {
            Ok(order) => {
                watch.seen = order.parts().version;
                watch.over = order.parts().status.is_final();
                Some((
                    Ok(pb::WatchOrderResponse {
                        order: Some(message::order(&order)),
                    }),
                    watch,
                ))
            }
            Err(error) => {
                watch.over = true;
                Some((Err(error), watch))
            }
        }
    }))
}

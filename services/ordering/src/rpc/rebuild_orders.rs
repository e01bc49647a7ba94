//! Makes the read model anew from the events, and says how far it is.

use chassis::Call;
use contracts::caravan::ordering::v1 as pb;
use futures::{Stream, stream};
use uuid::Uuid;

use super::Rpc;
use crate::{
    error::Error,
    message,
    store::rebuild::{self, Progress},
};

/// Orders between two messages.
const REPORT_EVERY_ORDERS: u64 = 5_000;

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    request: pb::RebuildOrdersRequest,
) -> Result<impl Stream<Item = Result<pb::RebuildOrdersResponse, Error>> + use<>, Error> {
    let after = match request.after_order_id.as_str() {
        "" => Uuid::nil(),
        id => message::order_id(id)?,
    };
    chassis::audit::record(&rpc.db).await?;
    let (rpc, caller) = (rpc.clone(), call.caller.label());
    tracing::info!(caller, %after, "the read model of orders is made anew");
    let start = (rpc, caller, Some(Progress::behind(after)));
    Ok(stream::unfold(
        start,
        |(rpc, caller, progress)| async move {
            match report(&rpc, progress?).await {
                Ok(progress) => {
                    if progress.done {
                        tracing::info!(caller, ?progress, "the read model of orders is new");
                    }
                    let next = (!progress.done && !rpc.drain.is_cancelled()).then_some(progress);
                    Some((Ok(response(progress)), (rpc, caller, next)))
                }
                Err(error) => Some((Err(error), (rpc, caller, None))),
            }
        },
    ))
}

/// Goes on until there is something to report.
async fn report(rpc: &Rpc, from: Progress) -> Result<Progress, Error> {
    let mut progress = from;
    loop {
        progress = rebuild::step(&rpc.db, progress).await?;
        let enough = progress.orders - from.orders >= REPORT_EVERY_ORDERS;
        if progress.done || enough || rpc.drain.is_cancelled() {
            return Ok(progress);
        }
    }
}

fn response(progress: Progress) -> pb::RebuildOrdersResponse {
    pb::RebuildOrdersResponse {
        orders: progress.orders as i64,
        corrected: progress.corrected as i64,
        removed: progress.removed as i64,
        last_order_id: progress.last.to_string(),
    }
}

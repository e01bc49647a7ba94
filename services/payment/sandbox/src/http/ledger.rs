//! `GET /ledger`: every movement of money. Not Stripe's; for tests that balance orders against money.

use std::sync::Arc;

use axum::{Json, extract::State as Shared};
use serde_json::Value;

use super::State;
use crate::{error::ApiError, ledger::EntryFilter, params::Params};

/// Entries in one answer; `hasMore` and `startingAfter` (a `seq`) give the rest.
const MAX_ENTRIES: u64 = 10_000;

/// `?orderId=` keeps one order's entries. Totals are of all entries, also those of later pages.
pub(super) async fn list(
    Shared(state): Shared<Arc<State>>,
    mut params: Params,
) -> Result<Json<Value>, ApiError> {
    let filter = EntryFilter {
        order_id: params.text("orderId"),
        after_seq: params.integer("startingAfter")?.unwrap_or(0),
        limit: MAX_ENTRIES,
    };
    params.finish()?;
    Ok(Json(state.ledger.entries(filter).await?))
}

//! What may be asked of the ledger. Only what was committed is seen.

use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use serde_json::{Value, json};

use super::{
    Ledger,
    entity::{
        entry::{self, Kind},
        intent, refund,
    },
};

/// One page of a list, newest first.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    /// Objects at most.
    pub(crate) limit: u64,
    /// Id of the last object of the page before.
    pub(crate) starting_after: Option<String>,
}

/// Which entries.
#[derive(Clone, Debug)]
pub(crate) struct EntryFilter {
    pub(crate) order_id: Option<String>,
    /// `seq` of the last entry of the page before.
    pub(crate) after_seq: i64,
    /// Entries at most.
    pub(crate) limit: u64,
}

impl Ledger {
    pub(crate) async fn ping(&self) -> Result<(), DbErr> {
        self.reader.ping().await
    }

    pub(crate) async fn intent(&self, id: &str) -> Result<Option<Value>, DbErr> {
        let found = intent::Entity::named(id).one(&self.reader).await?;
        Ok(found.map(|intent| intent.json()))
    }

    /// `None` where `starting_after` names nothing.
    pub(crate) async fn intents(&self, page: Page) -> Result<Option<Value>, DbErr> {
        let mut query = intent::Entity::find()
            .order_by_desc(intent::Column::Seq)
            .limit(page.limit + 1);
        if let Some(id) = &page.starting_after {
            let Some(last) = intent::Entity::named(id).one(&self.reader).await? else {
                return Ok(None);
            };
            query = query.filter(intent::Column::Seq.lt(last.seq));
        }
        let rows = query.all(&self.reader).await?;
        Ok(Some(list(
            "/v1/payment_intents",
            page.limit,
            rows.iter().map(intent::Model::json),
        )))
    }

    /// `None` where `starting_after` names nothing.
    pub(crate) async fn refunds(
        &self,
        page: Page,
        of_intent: Option<String>,
    ) -> Result<Option<Value>, DbErr> {
        let mut query = refund::Entity::find()
            .order_by_desc(refund::Column::Seq)
            .limit(page.limit + 1);
        if let Some(id) = &page.starting_after {
            let Some(last) = refund::Entity::named(id).one(&self.reader).await? else {
                return Ok(None);
            };
            query = query.filter(refund::Column::Seq.lt(last.seq));
        }
        if let Some(intent) = of_intent {
            query = query.filter(refund::Column::IntentId.eq(intent));
        }
        let rows = query.all(&self.reader).await?;
        Ok(Some(list(
            "/v1/refunds",
            page.limit,
            rows.iter().map(refund::Model::json),
        )))
    }

    /// The entries in the order they were made, and the totals of all entries that the filter admits.
    pub(crate) async fn entries(&self, filter: EntryFilter) -> Result<Value, DbErr> {
        let mut query = entry::Entity::find();
        if let Some(order) = &filter.order_id {
            query = query.filter(entry::Column::OrderId.eq(order));
        }
        let sums: Vec<(Kind, i64)> = query
            .clone()
            .select_only()
            .column(entry::Column::Kind)
            .column_as(entry::Column::AmountMinor.sum(), "sum_minor")
            .group_by(entry::Column::Kind)
            .into_tuple()
            .all(&self.reader)
            .await?;
        let mut rows = query
            .filter(entry::Column::Seq.gt(filter.after_seq))
            .order_by_asc(entry::Column::Seq)
            .limit(filter.limit + 1)
            .all(&self.reader)
            .await?;
        let has_more = truncate(&mut rows, filter.limit);
        Ok(json!({
            "entries": rows.iter().map(entry::Model::json).collect::<Vec<_>>(),
            "hasMore": has_more,
            "totals": totals(&sums),
        }))
    }
}

fn totals(sums: &[(Kind, i64)]) -> Value {
    let sum = |kind| {
        sums.iter()
            .filter(|(of, _)| *of == kind)
            .map(|(_, minor)| minor)
            .sum::<i64>()
    };
    let (authorized, captured, cancelled) =
        (sum(Kind::Authorize), sum(Kind::Capture), sum(Kind::Cancel));
    json!({
        "authorizedMinor": authorized,
        "capturedMinor": captured,
        "cancelledMinor": cancelled,
        "refundedMinor": sum(Kind::Refund),
        "heldMinor": authorized - captured - cancelled,
    })
}

/// Stripe's list object. `rows` hold one more than `limit` where there is a further page.
fn list(url: &str, limit: u64, rows: impl Iterator<Item = Value>) -> Value {
    let mut data: Vec<_> = rows.collect();
    let has_more = truncate(&mut data, limit);
    json!({ "object": "list", "url": url, "has_more": has_more, "data": data })
}

fn truncate<T>(rows: &mut Vec<T>, limit: u64) -> bool {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    more
}

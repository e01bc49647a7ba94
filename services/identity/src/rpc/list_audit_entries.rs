//! Who did what to whom, newest first.

use chassis::{Call, clock, page::Page};
use contracts::caravan::identity::v1 as pb;
use time::OffsetDateTime;

use super::{Rpc, convert};
use crate::{
    error::Error,
    store::{self, audit::Filter, entity::audit_entry::Model},
};

pub(super) async fn handle(
    rpc: &Rpc,
    _call: Call,
    request: pb::ListAuditEntriesRequest,
) -> Result<pb::ListAuditEntriesResponse, Error> {
    let given = |text: String| (!text.is_empty()).then_some(text);
    let filter = Filter {
        account: given(request.account_id)
            .map(|id| convert::account_id(&id, "accountId"))
            .transpose()?,
        actor: given(request.actor),
        action: given(request.action),
        service: given(request.service),
        target: given(request.target),
        since: time(request.since, "since")?,
        until: time(request.until, "until")?,
    };
    let page = Page::of(request.page_size, &request.page_token).map_err(Error::Invalid)?;
    let mut entries = store::audit::list(rpc.db.read(), filter, &page).await?;
    let next_page_token = page.cut(&mut entries, |entry| entry.id);
    Ok(pb::ListAuditEntriesResponse {
        entries: entries.into_iter().map(entry).collect(),
        next_page_token,
    })
}

fn time(
    timestamp: Option<prost_types::Timestamp>,
    field: &str,
) -> Result<Option<OffsetDateTime>, Error> {
    let read = |timestamp| {
        clock::from_timestamp(&timestamp).ok_or_else(|| Error::invalid(field, "is no time"))
    };
    timestamp.map(read).transpose()
}

fn entry(row: Model) -> pb::AuditEntry {
    let account_id = row.account_id.map(|id| id.to_string()).unwrap_or_default();
    pb::AuditEntry {
        entry_id: row.id.to_string(),
        time: Some(clock::timestamp_us(row.at_us)),
        actor: row.actor,
        action: row.action,
        service: row.service,
        target: if row.target.is_empty() {
            account_id.clone()
        } else {
            row.target
        },
        account_id,
        detail: row.detail,
        request_id: row.request_id,
    }
}

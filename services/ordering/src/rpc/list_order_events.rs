//! What happened to an order and who did it.

use chassis::{Call, Caller, clock, outbox::Actor, page::Page};
use contracts::caravan::ordering::v1 as pb;
use uuid::Uuid;

use super::Rpc;
use crate::{
    error::Error,
    message,
    store::{self, history::Entry},
};

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    request: pb::ListOrderEventsRequest,
) -> Result<pb::ListOrderEventsResponse, Error> {
    let id = message::order_id(&request.order_id)?;
    let staff = call.caller.sees_all() || call.caller.has_role("operator");
    if staff {
        let order = store::orders::find(rpc.db.read(), id).await?;
        order.ok_or(Error::NotFound(id))?;
    } else {
        rpc.visible_order(&call, id).await?;
    }
    // Pages are those of lists by id, and here versions are the ids.
    let page = Page::of(request.page_size, &request.page_token)?;
    let after = page.after.map_or(0, |id| id.as_u64_pair().1 as i64);
    let mut entries = store::history::list(rpc.db.read(), id, after, page.limit()).await?;
    let next_page_token = page.cut(&mut entries, |entry| {
        Uuid::from_u64_pair(0, entry.record.version as u64)
    });
    let reader = if staff { None } else { Some(&call.caller) };
    Ok(pb::ListOrderEventsResponse {
        events: entries
            .into_iter()
            .map(|entry| event(entry, reader))
            .collect(),
        next_page_token,
    })
}

/// `customer` where one reads it: then the names of those who work for the shop are left out.
fn event(entry: Entry, customer: Option<&Caller>) -> pb::OrderEvent {
    let Entry { event, record } = entry;
    let visible = |actor: &Actor| customer.is_none_or(|customer| customer.label() == actor.label);
    pb::OrderEvent {
        version: record.version,
        time: Some(clock::timestamp(record.at)),
        actor: record
            .actor
            .filter(visible)
            .map(|actor| self::actor(&actor)),
        reason: event.reason().unwrap_or_default().to_owned(),
        status: message::status(event.leads_to()).into(),
        request_id: match customer {
            None => record.request_id.unwrap_or_default(),
            Some(_) => String::new(),
        },
        event: record.subject,
    }
}

fn actor(actor: &Actor) -> pb::OrderActor {
    let named = |kind| {
        actor
            .label
            .strip_prefix(kind)
            .unwrap_or_default()
            .to_owned()
    };
    pb::OrderActor {
        user_id: named("user:"),
        service: named("service:"),
        saga_id: actor
            .saga_id
            .as_ref()
            .map(Uuid::to_string)
            .unwrap_or_default(),
    }
}

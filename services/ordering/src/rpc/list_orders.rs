//! A page of orders, newest first.

use chassis::{Call, page::Page};
use contracts::caravan::ordering::v1 as pb;
use uuid::Uuid;

use super::{Rpc, convert};
use crate::{error::Error, store};

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    request: pb::ListOrdersRequest,
) -> Result<pb::ListOrdersResponse, Error> {
    let page = Page::of(request.page_size, &request.page_token)?;
    let customer = match call.caller.sees_all() {
        true => None,
        // Nobody's orders rather than everybody's, should a caller be neither.
        false => Some(call.caller.user_id().unwrap_or(Uuid::nil())),
    };
    let mut orders = store::orders::list(rpc.db.read(), customer, &page).await?;
    let next_page_token = page.cut(&mut orders, |order| order.parts().id);
    Ok(pb::ListOrdersResponse {
        orders: orders.iter().map(convert::order).collect(),
        next_page_token,
    })
}

//! A page of orders, newest first.

use chassis::{Call, page::Page};
use contracts::caravan::ordering::v1 as pb;

use super::Rpc;
use crate::{error::Error, message, store};

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    request: pb::ListOrdersRequest,
) -> Result<pb::ListOrdersResponse, Error> {
    let page = Page::of(request.page_size, &request.page_token)?;
    let mut orders = store::orders::list(rpc.db.read(), call.caller.sees_only(), &page).await?;
    let next_page_token = page.cut(&mut orders, |order| order.parts().id);
    Ok(pb::ListOrdersResponse {
        orders: orders.iter().map(message::order).collect(),
        next_page_token,
    })
}

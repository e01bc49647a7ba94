//! A page of payments, newest first.

use chassis::{Call, page::Page};
use contracts::caravan::payment::v1 as pb;

use super::{Rpc, convert};
use crate::{
    error::Error,
    store::{self, payments::Filter},
};

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    request: pb::ListPaymentsRequest,
) -> Result<pb::ListPaymentsResponse, Error> {
    let page = Page::of(request.page_size, &request.page_token)?;
    let order_id = match request.order_id.as_str() {
        "" => None,
        text => Some(convert::id("orderId", text)?),
    };
    let filter = Filter {
        customer_id: call.caller.sees_only(),
        order_id,
    };
    let mut payments = store::payments::list(rpc.db.read(), filter, &page).await?;
    let next_page_token = page.cut(&mut payments, |payment| payment.parts().id);
    Ok(pb::ListPaymentsResponse {
        payments: payments.iter().map(convert::payment).collect(),
        next_page_token,
    })
}

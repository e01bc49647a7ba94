//! Takes a held amount.

use chassis::{Call, clock};
use contracts::caravan::payment::v1 as pb;

use super::{Rpc, convert, reference};
use crate::{error::Error, events::publish, store};

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    request: pb::CapturePaymentRequest,
) -> Result<pb::CapturePaymentResponse, Error> {
    if let Some(reply) = rpc.db.replay(&call, &request).await? {
        return Ok(reply);
    }
    let order_id = convert::id("orderId", &request.order_id)?;
    // Without the fence that others put before the provider, since it would cost a commit of each order: a capture has no way
    // back, so an orchestrator whose time is over asks for what the next one asks for too.
    let payment = rpc.payment_of(order_id).await?;
    // Decided before the provider is asked, and again on what is stored by then.
    if payment.clone().capture(clock::now())? {
        rpc.provider.capture(reference(&payment)?).await?;
    }
    rpc.db
        .once(&call, &request, |tx| async move {
            let mut payment = store::payments::find_by_order(&tx, order_id)
                .await?
                .ok_or(Error::NoPayment(order_id))?;
            if payment.capture(clock::now())? {
                store::payments::save(&tx, &payment).await?;
                publish::captured(&tx, &payment).await?;
            }
            Ok::<_, Error>(pb::CapturePaymentResponse {
                payment: Some(convert::payment(&payment)),
            })
        })
        .await
}

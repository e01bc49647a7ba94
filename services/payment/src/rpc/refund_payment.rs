//! Sends a taken amount back.

use chassis::{Call, clock, db::fence};
use contracts::caravan::payment::v1 as pb;

use super::{Rpc, convert, reference};
use crate::{error::Error, events::publish, store};

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    request: pb::RefundPaymentRequest,
) -> Result<pb::RefundPaymentResponse, Error> {
    if let Some(reply) = rpc.db.replay(&call, &request).await? {
        return Ok(reply);
    }
    let order_id = convert::id("orderId", &request.order_id)?;
    let fenced = &call;
    rpc.db
        .write(|tx| async move { Ok::<_, Error>(fence(&tx, fenced).await?) })
        .await?;
    let payment = rpc.payment_of(order_id).await?;
    // Decided before the provider is asked, and again on what is stored by then.
    if payment.clone().refund(clock::now())? {
        rpc.provider
            .refund(payment.parts().id, reference(&payment)?)
            .await?;
    }
    rpc.db
        .once(&call, &request, |tx| async move {
            let mut payment = store::payments::find_by_order(&tx, order_id)
                .await?
                .ok_or(Error::NoPayment(order_id))?;
            if payment.refund(clock::now())? {
                store::payments::save(&tx, &payment).await?;
                publish::refunded(&tx, &payment).await?;
            }
            Ok::<_, Error>(pb::RefundPaymentResponse {
                payment: Some(convert::payment(&payment)),
            })
        })
        .await
}

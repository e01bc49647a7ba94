//! Gives a hold back: the compensation of authorizing.

use chassis::{Call, clock, db::fence};
use contracts::caravan::payment::v1 as pb;
use uuid::Uuid;

use super::{Rpc, convert, reference};
use crate::{
    domain::payment::{Payment, PaymentError, Status},
    error::Error,
    events::publish,
    provider::{Answer, Authorization},
    store,
};

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    request: pb::VoidPaymentRequest,
) -> Result<pb::VoidPaymentResponse, Error> {
    if let Some(reply) = rpc.db.replay(&call, &request).await? {
        return Ok(reply);
    }
    let order_id = convert::id("orderId", &request.order_id)?;
    let reference = match begin(rpc, &call, order_id).await? {
        Some(payment) => give_back(rpc, payment).await?,
        None => None,
    };
    let reference = reference.as_deref();
    rpc.db
        .once(&call, &request, |tx| async move {
            let Some(mut payment) = store::payments::find_by_order(&tx, order_id).await? else {
                return Ok(pb::VoidPaymentResponse {});
            };
            if payment.parts().status == Status::Pending {
                // It came between the look above and this one: give it back first.
                return Err(PaymentError::UnderWay.into());
            }
            if payment.void(reference, clock::now())? {
                store::payments::save(&tx, &payment).await?;
                publish::voided(&tx, &payment).await?;
            }
            Ok::<_, Error>(pb::VoidPaymentResponse {})
        })
        .await
}

/// Makes sure that the provider holds nothing; answers its reference where that was not known yet.
async fn give_back(rpc: &Rpc, payment: Payment) -> Result<Option<String>, Error> {
    let parts = payment.parts();
    match (parts.status, &parts.payment_method) {
        (Status::Authorized, _) => {
            rpc.provider.cancel(reference(&payment)?).await?;
            Ok(None)
        }
        // Whether the provider holds anything shows only when it is asked the same question again.
        (Status::Voiding, Some(payment_method)) => {
            let authorization = Authorization {
                payment_id: parts.id,
                order_id: parts.order_id,
                amount: &parts.amount,
                payment_method,
            };
            match rpc.provider.authorize(authorization).await? {
                Answer::Declined(_) => Ok(None),
                Answer::Held(reference) => {
                    rpc.provider.cancel(&reference).await?;
                    Ok(Some(reference))
                }
            }
        }
        _ => Ok(None),
    }
}

/// The order's payment. From here on an authorization that is under way is refused when it comes back, and so is an
/// orchestrator whose time is over: the provider is not asked for its sake.
async fn begin(rpc: &Rpc, call: &Call, order_id: Uuid) -> Result<Option<Payment>, Error> {
    rpc.db
        .write(|tx| async move {
            fence(&tx, call).await?;
            let Some(mut payment) = store::payments::find_by_order(&tx, order_id).await? else {
                return Ok(None);
            };
            if payment.begin_void(clock::now()) {
                store::payments::save(&tx, &payment).await?;
            }
            Ok(Some(payment))
        })
        .await
}

//! Holds an order's amount at the provider.
//!
//! Three parts, since the provider cannot be asked inside a unit of work: the intent is stored together with the
//! saga's barrier, so that a compensation finds it; the provider is asked, under a key that makes asking again
//! the same question; the answer is stored. A repetition goes on where the last try ended.

use chassis::{Call, clock, db::amend_reply};
use contracts::caravan::payment::v1 as pb;
use uuid::Uuid;

use super::{Rpc, convert};
use crate::{
    domain::payment::{Decline, Payment, PaymentError, Status},
    error::Error,
    events::publish,
    provider::{Answer, Authorization},
    store,
};

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    request: pb::AuthorizePaymentRequest,
) -> Result<pb::AuthorizePaymentResponse, Error> {
    let reply = ask(rpc, &call, &request).await?;
    if reply
        .payment
        .as_ref()
        .is_some_and(|payment| payment.status() != pb::PaymentStatus::Pending)
    {
        return Ok(reply);
    }
    let payment = rpc
        .payment_of(convert::id("orderId", &request.order_id)?)
        .await?;
    let parts = payment.parts();
    match (parts.status, &parts.payment_method, &parts.decline) {
        (Status::Pending, Some(payment_method), _) => {
            let authorization = Authorization {
                payment_id: parts.id,
                order_id: parts.order_id,
                amount: &parts.amount,
                payment_method,
            };
            match rpc.provider.authorize(authorization).await? {
                Answer::Held(reference) => held(rpc, &call, &request, parts.id, &reference).await,
                Answer::Declined(decline) => Err(declined(rpc, parts.id, decline).await?),
            }
        }
        (Status::Declined, _, Some(decline)) => Err(Error::Declined(decline.clone())),
        (Status::Voiding | Status::Voided, ..) => Err(PaymentError::Voided.into()),
        // Somebody else's try was faster.
        _ => Ok(pb::AuthorizePaymentResponse {
            payment: Some(convert::payment(&payment)),
        }),
    }
}

/// Stores that the amount is to be held; answers where the payment stands.
async fn ask(
    rpc: &Rpc,
    call: &Call,
    request: &pb::AuthorizePaymentRequest,
) -> Result<pb::AuthorizePaymentResponse, Error> {
    let order_id = convert::id("orderId", &request.order_id)?;
    let customer_id = convert::id("customerId", &request.customer_id)?;
    let amount = convert::amount(request.amount.as_ref())?;
    let method = request.payment_method.clone();
    let asked = Payment::ask(
        Uuid::now_v7(),
        order_id,
        customer_id,
        amount,
        method,
        clock::now(),
    );
    let asked = &asked;
    rpc.db
        .once(call, request, |tx| async move {
            let payment = match store::payments::insert(&tx, asked).await? {
                true => asked.clone(),
                false => store::payments::find_by_order(&tx, order_id)
                    .await?
                    .ok_or(Error::NoPayment(order_id))?,
            };
            let (old, new) = (payment.parts(), asked.parts());
            if (&old.customer_id, &old.amount) != (&new.customer_id, &new.amount) {
                return Err(Error::Different);
            }
            Ok(pb::AuthorizePaymentResponse {
                payment: Some(convert::payment(&payment)),
            })
        })
        .await
}

/// Stores that the provider holds the amount; gives it back where nobody wants it any more.
async fn held(
    rpc: &Rpc,
    call: &Call,
    request: &pb::AuthorizePaymentRequest,
    id: Uuid,
    reference: &str,
) -> Result<pb::AuthorizePaymentResponse, Error> {
    let stored = rpc
        .db
        .write(|tx| async move {
            let mut payment = store::payments::find(&tx, id)
                .await?
                .ok_or(Error::NotFound(id))?;
            if payment.authorize(reference, clock::now())? {
                store::payments::save(&tx, &payment).await?;
                publish::authorized(&tx, &payment).await?;
            }
            let reply = pb::AuthorizePaymentResponse {
                payment: Some(convert::payment(&payment)),
            };
            amend_reply(&tx, call, request, &reply).await?;
            Ok(reply)
        })
        .await;
    if let Err(Error::Rule(PaymentError::Voided)) = &stored {
        // The void gives it back anyway; this is only sooner.
        if let Err(error) = rpc.provider.cancel(reference).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(payment = %id, error, "a hold that came too late is left to its void");
        }
    }
    stored
}

/// Stores that the provider said no, although the call is refused, and answers the refusal.
async fn declined(rpc: &Rpc, id: Uuid, decline: Decline) -> Result<Error, Error> {
    let decline = &decline;
    let stored = rpc
        .db
        .write(|tx| async move {
            let mut payment = store::payments::find(&tx, id)
                .await?
                .ok_or(Error::NotFound(id))?;
            let stored = payment.decline(decline.clone(), clock::now());
            if stored {
                store::payments::save(&tx, &payment).await?;
                publish::declined(&tx, &payment).await?;
            }
            Ok::<_, Error>(stored || payment.parts().status == Status::Declined)
        })
        .await?;
    Ok(match stored {
        true => Error::Declined(decline.clone()),
        false => PaymentError::Voided.into(),
    })
}

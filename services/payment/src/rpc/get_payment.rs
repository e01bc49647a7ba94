//! One payment.

use chassis::Call;
use contracts::caravan::payment::v1 as pb;

use super::{Rpc, convert};
use crate::{error::Error, store};

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    request: pb::GetPaymentRequest,
) -> Result<pb::GetPaymentResponse, Error> {
    let id = convert::id("paymentId", &request.payment_id)?;
    let payment = store::payments::find(rpc.db.read(), id)
        .await?
        .filter(|payment| {
            call.caller.sees_all() || call.caller.user_id() == Some(payment.parts().customer_id)
        })
        .ok_or(Error::NotFound(id))?;
    Ok(pb::GetPaymentResponse {
        payment: Some(convert::payment(&payment)),
    })
}

//! The rpcs: each method delegates to its file.

use std::sync::Arc;

use chassis::db::Db;
use contracts::caravan::payment::v1::{self as pb, payment_service_server::PaymentService};
use tonic::{Request, Response, Status, async_trait};
use uuid::Uuid;

use crate::{domain::payment::Payment, error::Error, provider::Provider, store};

mod authorize_payment;
mod capture_payment;
pub(crate) mod convert;
mod get_payment;
mod list_payments;
mod refund_payment;
mod void_payment;

/// What the handlers work with.
#[derive(Clone)]
pub struct Rpc {
    pub(crate) db: Db,
    pub(crate) provider: Arc<dyn Provider>,
}

impl Rpc {
    /// The rpcs over this database, with money at this provider.
    pub fn new(db: Db, provider: impl Provider) -> Self {
        Self {
            db,
            provider: Arc::new(provider),
        }
    }

    /// The payment of an order.
    async fn payment_of(&self, order_id: Uuid) -> Result<Payment, Error> {
        store::payments::find_by_order(self.db.read(), order_id)
            .await?
            .ok_or(Error::NoPayment(order_id))
    }
}

/// What the provider calls the payment.
fn reference(payment: &Payment) -> Result<&str, Error> {
    let missing =
        || chassis::db::Error::Corrupt("payments.provider_reference is missing".to_owned());
    Ok(payment
        .parts()
        .provider_reference
        .as_deref()
        .ok_or_else(missing)?)
}

#[async_trait]
impl PaymentService for Rpc {
    async fn get_payment(
        &self,
        request: Request<pb::GetPaymentRequest>,
    ) -> Result<Response<pb::GetPaymentResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            get_payment::handle(self, call, message)
        })
        .await
    }

    async fn list_payments(
        &self,
        request: Request<pb::ListPaymentsRequest>,
    ) -> Result<Response<pb::ListPaymentsResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            list_payments::handle(self, call, message)
        })
        .await
    }

    async fn authorize_payment(
        &self,
        request: Request<pb::AuthorizePaymentRequest>,
    ) -> Result<Response<pb::AuthorizePaymentResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            authorize_payment::handle(self, call, message)
        })
        .await
    }

    async fn capture_payment(
        &self,
        request: Request<pb::CapturePaymentRequest>,
    ) -> Result<Response<pb::CapturePaymentResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            capture_payment::handle(self, call, message)
        })
        .await
    }

    async fn void_payment(
        &self,
        request: Request<pb::VoidPaymentRequest>,
    ) -> Result<Response<pb::VoidPaymentResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            void_payment::handle(self, call, message)
        })
        .await
    }

    async fn refund_payment(
        &self,
        request: Request<pb::RefundPaymentRequest>,
    ) -> Result<Response<pb::RefundPaymentResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            refund_payment::handle(self, call, message)
        })
        .await
    }
}

//! Payment alone: the service over its port, a provider with a ledger, and a wire between them that a test can break.

#![allow(dead_code, reason = "each test file uses some of it")]

pub(crate) mod provider;
pub(crate) mod wire;

use alone::{Client, Engine, SagaCall, Service, ServiceBuilder};
use contracts::caravan::{
    common::v1::Money,
    payment::v1::{self as pb, payment_service_client::PaymentServiceClient},
};
use tonic::Status;
use uuid::Uuid;

use provider::{KEY, Provider};
use wire::Wire;

/// A card that pays.
pub(crate) const VISA: &str = "pm_card_visa";
/// A card without money.
pub(crate) const EMPTY: &str = "pm_card_chargeDeclinedInsufficientFunds";
/// What every order here costs.
pub(crate) const PRICE_MINOR: i64 = 1_500;

/// A running payment service.
pub(crate) struct World {
    pub(crate) service: Service,
    /// The mesh's services call it like this.
    pub(crate) peer: PaymentServiceClient<Client>,
    pub(crate) provider: Provider,
    pub(crate) wire: Wire,
}

impl World {
    pub(crate) async fn start(engine: Engine) -> Option<Self> {
        Self::start_with(engine, |service| service).await
    }

    /// With more of an environment.
    pub(crate) async fn start_with(
        engine: Engine,
        more: impl FnOnce(ServiceBuilder) -> ServiceBuilder,
    ) -> Option<Self> {
        let provider = Provider::start().await;
        let wire = Wire::start(provider.url()).await;
        let service = Service::of(env!("CARGO_BIN_EXE_payment"), engine)
            .with("PROVIDER_URL", wire.url())
            .with("PROVIDER_KEY", KEY);
        let service = more(service).start().await?;
        let peer = peer(&service);
        Some(Self {
            service,
            peer,
            provider,
            wire,
        })
    }

    /// Ends the process at once and goes on with another one.
    pub(crate) async fn crash(&mut self) {
        self.service.crash_and_restart().await;
        // It listens elsewhere now.
        self.peer = peer(&self.service);
    }

    pub(crate) async fn authorize(
        &self,
        step: &SagaCall,
        order: &Order,
    ) -> Result<pb::Payment, Status> {
        let answer = self
            .peer
            .clone()
            .authorize_payment(step.action(order.authorize()))
            .await?;
        Ok(answer.into_inner().payment.expect("always there"))
    }

    pub(crate) async fn void(&self, step: &SagaCall, order: &Order) -> Result<(), Status> {
        let message = pb::VoidPaymentRequest {
            order_id: order.id.to_string(),
        };
        self.peer
            .clone()
            .void_payment(step.compensation(message))
            .await
            .map(drop)
    }

    pub(crate) async fn capture(
        &self,
        step: &SagaCall,
        order: &Order,
    ) -> Result<pb::Payment, Status> {
        let message = pb::CapturePaymentRequest {
            order_id: order.id.to_string(),
        };
        let answer = self
            .peer
            .clone()
            .capture_payment(step.action(message))
            .await?;
        Ok(answer.into_inner().payment.expect("always there"))
    }

    pub(crate) async fn refund(
        &self,
        step: &SagaCall,
        order: &Order,
    ) -> Result<pb::Payment, Status> {
        let message = pb::RefundPaymentRequest {
            order_id: order.id.to_string(),
        };
        let answer = self
            .peer
            .clone()
            .refund_payment(step.action(message))
            .await?;
        Ok(answer.into_inner().payment.expect("always there"))
    }

    /// The order's payment as it stands.
    pub(crate) async fn payment(&self, order: &Order) -> Option<pb::Payment> {
        let request = pb::ListPaymentsRequest {
            order_id: order.id.to_string(),
            ..Default::default()
        };
        let answer = self
            .peer
            .clone()
            .list_payments(request)
            .await
            .expect("answered");
        answer.into_inner().payments.pop()
    }

    pub(crate) async fn status(&self, order: &Order) -> pb::PaymentStatus {
        self.payment(order).await.expect("asked for").status()
    }
}

/// An order that is to be paid.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) id: Uuid,
    pub(crate) customer: Uuid,
    pub(crate) card: &'static str,
}

impl Order {
    pub(crate) fn by(card: &'static str) -> Self {
        Self {
            id: Uuid::now_v7(),
            customer: Uuid::now_v7(),
            card,
        }
    }

    pub(crate) fn authorize(&self) -> pb::AuthorizePaymentRequest {
        pb::AuthorizePaymentRequest {
            order_id: self.id.to_string(),
            customer_id: self.customer.to_string(),
            amount: Some(Money {
                currency_code: "EUR".into(),
                minor_units: PRICE_MINOR,
            }),
            payment_method: self.card.into(),
        }
    }
}

/// Another step of the same saga.
pub(crate) fn step(name: &'static str, of: &SagaCall) -> SagaCall {
    SagaCall {
        step: name,
        ..of.clone()
    }
}

/// A client of a service of the mesh.
fn peer(service: &Service) -> PaymentServiceClient<Client> {
    PaymentServiceClient::new(service.peer("saga"))
}

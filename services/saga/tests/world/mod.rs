//! The orchestrator as a process of its own, and participants that are real gRPC servers with a durable ledger.

#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "each test file uses some of it"
)]

mod participant;
mod proxy;
mod publish;
mod trap;

use alone::{Client, Engine, Service, ServiceBuilder, wait::until};
use contracts::caravan::saga::v1::{
    self as pb, register_definition_request::Content, saga_service_client::SagaServiceClient,
};
use prost_reflect::ReflectMessage;
use tonic::Status;
use uuid::Uuid;

pub(crate) use participant::{Fate, Participant, Verdict, Visit, Watcher};
pub(crate) use proxy::Proxy;
pub(crate) use trap::{Armed, PHASES, Phase, Writes, lock_out};

/// reserve -> authorize -> commit (the pivot) -> capture; quick to give up.
pub(crate) const DEFINITION: &str = "
name: test
steps:
  - name: reserve
    call: caravan.inventory.v1.InventoryService/ReserveStock
    request: \"{'order_id': trigger.order_id}\"
    retry: &quick {maxAttempts: 3, initialBackoff: 0.02s, maxBackoff: 0.05s}
    compensation: &release
      call: caravan.inventory.v1.InventoryService/ReleaseStock
      request: \"{'order_id': trigger.order_id}\"
      retry: *quick
  - name: authorize
    call: caravan.payment.v1.PaymentService/AuthorizePayment
    request: \"{'order_id': trigger.order_id}\"
    timeout: 10s
    retry: *quick
    compensation:
      call: caravan.payment.v1.PaymentService/VoidPayment
      request: \"{'order_id': trigger.order_id}\"
      retry: *quick
  - name: commit
    pivot: true
    call: caravan.inventory.v1.InventoryService/CommitStock
    request: \"{'order_id': trigger.order_id}\"
    retry: *quick
  - name: capture
    call: caravan.payment.v1.PaymentService/CapturePayment
    request: \"{'order_id': steps.authorize.payment.order_id}\"
    retry: *quick
";

/// A running orchestrator and its participants.
pub(crate) struct World {
    pub(crate) service: Service,
    pub(crate) participant: Participant,
    pub(crate) peer: SagaServiceClient<Client>,
    pub(crate) admin: SagaServiceClient<Client>,
}

impl World {
    /// `None` where the engine is not there.
    pub(crate) async fn start(engine: Engine) -> Option<Self> {
        Self::start_with(engine, "10s").await
    }

    /// With leases of this length.
    pub(crate) async fn start_with(engine: Engine, lease: &str) -> Option<Self> {
        Self::start_as(engine, &[("SAGA_LEASE", lease)]).await
    }

    /// With these variables.
    pub(crate) async fn start_as(engine: Engine, variables: &[(&str, &str)]) -> Option<Self> {
        let participant = Participant::start().await;
        let service = Self::service(engine, &participant, variables);
        Some(Self::of(service.start().await?, participant))
    }

    /// An orchestrator that is about to start, with these variables.
    pub(crate) fn service(
        engine: Engine,
        participant: &Participant,
        variables: &[(&str, &str)],
    ) -> ServiceBuilder {
        let mut service = Service::of(env!("CARGO_BIN_EXE_saga"), engine)
            .upstream("inventory", &participant.url)
            .upstream("payment", &participant.url)
            .upstream("ordering", &participant.url);
        for (variable, value) in variables {
            service = service.with(variable, *value);
        }
        service
    }

    pub(crate) fn of(service: Service, participant: Participant) -> Self {
        let (peer, admin) = clients(&service);
        Self {
            service,
            participant,
            peer,
            admin,
        }
    }

    /// Ends the orchestrator at once and goes on with another one.
    pub(crate) async fn crash(&mut self) {
        self.service.crash_and_restart().await;
        (self.peer, self.admin) = clients(&self.service);
    }

    pub(crate) async fn register(&self, source: &str) -> Result<i32, Status> {
        let request = pb::RegisterDefinitionRequest {
            content: Some(Content::Source(source.to_owned())),
        };
        Ok(self
            .peer
            .clone()
            .register_definition(request)
            .await?
            .into_inner()
            .version)
    }

    /// Starts a saga of [`DEFINITION`] for a new order; answers its id and the order's.
    pub(crate) async fn begin(&self) -> (String, String) {
        let order = Uuid::now_v7().to_string();
        let saga = self.begin_for(&order, &order).await.expect("started");
        (saga.saga_id, order)
    }

    pub(crate) async fn begin_for(&self, key: &str, order: &str) -> Result<pb::Saga, Status> {
        let request = pb::StartSagaRequest {
            definition: "test".into(),
            key: key.into(),
            input: Some(structure(&[("order_id", order)])),
        };
        Ok(self
            .peer
            .clone()
            .start_saga(request)
            .await?
            .into_inner()
            .saga
            .expect("always there"))
    }

    pub(crate) async fn saga(&self, id: &str) -> pb::Saga {
        let request = pb::GetSagaRequest { saga_id: id.into() };
        self.peer
            .clone()
            .get_saga(request)
            .await
            .expect("known")
            .into_inner()
            .saga
            .expect("always there")
    }

    /// Waits until the saga is in this state.
    pub(crate) async fn until(&self, id: &str, state: pb::SagaState) -> pb::Saga {
        until(&format!("saga {id} is {state:?}"), || async {
            let saga = self.saga(id).await;
            if saga.state() == state {
                Ok(saga)
            } else {
                Err(saga)
            }
        })
        .await
    }

    pub(crate) async fn list(&self, filter: pb::ListSagasRequest) -> pb::ListSagasResponse {
        self.admin
            .clone()
            .list_sagas(filter)
            .await
            .expect("listed")
            .into_inner()
    }

    pub(crate) async fn retry(&self, id: &str) -> Result<pb::Saga, Status> {
        let request = pb::RetrySagaRequest {
            saga_id: id.into(),
            reason: "repaired".into(),
        };
        Ok(self
            .admin
            .clone()
            .retry_saga(request)
            .await?
            .into_inner()
            .saga
            .expect("always there"))
    }

    pub(crate) async fn cancel(&self, id: &str) -> Result<pb::Saga, Status> {
        let request = pb::CancelSagaRequest {
            saga_id: id.into(),
            reason: "no longer wanted".into(),
        };
        Ok(self
            .admin
            .clone()
            .cancel_saga(request)
            .await?
            .into_inner()
            .saga
            .expect("always there"))
    }

    /// Publishes an event as its service would.
    pub(crate) async fn publish<M: ReflectMessage>(
        &mut self,
        event_id: Uuid,
        aggregate: &str,
        event: &M,
    ) {
        publish::publish(&self.service.nats().url(), event_id, aggregate, event).await;
    }
}

fn clients(service: &Service) -> (SagaServiceClient<Client>, SagaServiceClient<Client>) {
    (
        SagaServiceClient::new(service.peer("ordering")),
        SagaServiceClient::new(service.admin()),
    )
}

/// A `Struct` of texts.
pub(crate) fn structure(fields: &[(&str, &str)]) -> prost_types::Struct {
    let value = |text: &str| prost_types::Value {
        kind: Some(prost_types::value::Kind::StringValue(text.into())),
    };
    prost_types::Struct {
        fields: fields
            .iter()
            .map(|(name, text)| ((*name).to_owned(), value(text)))
            .collect(),
    }
}

/// The state of each step, in order.
pub(crate) fn states(saga: &pb::Saga) -> Vec<pb::StepState> {
    saga.steps.iter().map(pb::StepRun::state).collect()
}

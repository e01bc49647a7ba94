//! The saga service alone: its real binary over a real database and a real broker.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use alone::{Client, Service};
use contracts::caravan::saga::v1::{
    self as pb, register_definition_request::Content, saga_service_client::SagaServiceClient,
};
use futures::StreamExt as _;
use kit::{Engine, mesh::binary};
use prost::Message as _;
use prost_types::{Struct, Value, value::Kind};
use tokio::{sync::oneshot, task::JoinHandle};
use uuid::Uuid;

use super::participant::{HELD_STEP, Participant, WAITING_STEP};

/// Where the end of a saga is told.
const COMPLETED: &str = "saga.saga.completed.v1";
/// The saga of four steps.
pub(super) const PURCHASE: &str = "purchase";
/// A saga that waits for an hour before its second attempt.
pub(super) const PATIENT: &str = "patient";
/// A saga that hangs in its first call.
pub(super) const HELD: &str = "held";

/// A running orchestrator.
pub(super) struct Orchestrator {
    pub(super) service: Service,
    pub(super) participant: Participant,
    client: SagaServiceClient<Client>,
    awaited: Awaited,
    listener: JoinHandle<()>,
}

/// Whoever waits for the end of a saga, by its key.
type Awaited = Arc<Mutex<HashMap<String, oneshot::Sender<()>>>>;

impl Orchestrator {
    /// `None` where the engine is not there.
    pub(super) async fn start(engine: Engine) -> Option<Self> {
        let participant = Participant::start().await;
        // Lives as long as the program: one of a handful.
        let program = binary("saga").display().to_string().leak();
        let service = Service::of(program, engine)
            .upstream("inventory", participant.url())
            .upstream("payment", participant.url());
        let mut service = service.start().await?;
        let client = SagaServiceClient::new(service.peer("bench"));
        let awaited = Awaited::default();
        let broker = async_nats::connect(service.nats().url())
            .await
            .expect("the broker runs");
        let mut ends = broker.subscribe(COMPLETED).await.expect("a subject");
        let told = awaited.clone();
        let listener = tokio::spawn(async move {
            while let Some(message) = ends.next().await {
                let event = pb::SagaCompleted::decode(message.payload).expect("the event");
                let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(waiting) = told.remove(&event.key) {
                    let _ = waiting.send(());
                }
            }
        });
        let orchestrator = Self {
            service,
            participant,
            client,
            awaited,
            listener,
        };
        for definition in definitions() {
            orchestrator.register(definition).await;
        }
        Some(orchestrator)
    }

    /// Starts another process over the same data.
    pub(super) async fn restart(&mut self) {
        self.service.crash_and_restart().await;
        self.client = SagaServiceClient::new(self.service.peer("bench"));
    }

    async fn register(&self, source: String) {
        let request = pb::RegisterDefinitionRequest {
            content: Some(Content::Source(source)),
        };
        let registered = self.client.clone().register_definition(request).await;
        registered.expect("a good definition");
    }

    /// Starts a saga; answers its id.
    pub(super) async fn begin(&self, definition: &str, key: &str) -> Option<String> {
        let order = Value {
            kind: Some(Kind::StringValue(key.to_owned())),
        };
        let request = pb::StartSagaRequest {
            definition: definition.to_owned(),
            key: key.to_owned(),
            input: Some(Struct {
                fields: [("order_id".to_owned(), order)].into(),
            }),
        };
        let begun = self.client.clone().start_saga(request).await.ok()?;
        begun.into_inner().saga.map(|saga| saga.saga_id)
    }

    /// Starts a saga of four steps and waits until its end is told. False where it cannot be started.
    pub(super) async fn purchase(&self) -> bool {
        let key = Uuid::now_v7().to_string();
        let (sender, end) = oneshot::channel();
        self.awaited
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key.clone(), sender);
        self.begin(PURCHASE, &key).await.is_some() && end.await.is_ok()
    }

    pub(super) async fn saga(&self, id: &str) -> pb::Saga {
        let request = pb::GetSagaRequest {
            saga_id: id.to_owned(),
        };
        let saga = self.client.clone().get_saga(request).await.expect("known");
        saga.into_inner().saga.expect("always there")
    }
}

impl Drop for Orchestrator {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

fn definitions() -> [String; 3] {
    let step = |name: &str, call: &str, more: &str| {
        format!(
            "  - {{name: {name}, call: caravan.{call}, request: \"{{'order_id': trigger.order_id}}\"{more}}}\n"
        )
    };
    let undo = |call: &str| {
        format!(
            ", compensation: {{call: caravan.{call}, request: \"{{'order_id': trigger.order_id}}\"}}"
        )
    };
    let reserve = "inventory.v1.InventoryService/ReserveStock";
    let purchase = [
        step(
            "reserve",
            reserve,
            &undo("inventory.v1.InventoryService/ReleaseStock"),
        ),
        step(
            "authorize",
            "payment.v1.PaymentService/AuthorizePayment",
            &undo("payment.v1.PaymentService/VoidPayment"),
        ),
        step(
            "commit",
            "inventory.v1.InventoryService/CommitStock",
            ", pivot: true",
        ),
        step("capture", "payment.v1.PaymentService/CapturePayment", ""),
    ];
    let hour = ", retry: {initialBackoff: 3600s, maxBackoff: 3600s}";
    [
        format!("name: {PURCHASE}\nsteps:\n{}", purchase.concat()),
        format!(
            "name: {PATIENT}\nsteps:\n{}",
            step(WAITING_STEP, reserve, hour)
        ),
        format!(
            "name: {HELD}\nsteps:\n{}",
            step(HELD_STEP, reserve, ", timeout: 60s")
        ),
    ]
}

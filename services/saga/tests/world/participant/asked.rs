//! What an orchestrator asks of a participant.

use chassis::{
    Call, Caller, SagaOperation, SagaStep,
    call::{SAGA_EPOCH, SAGA_ID, SAGA_OPERATION, SAGA_STEP},
};
use contracts::{DESCRIPTOR_POOL, caravan::ordering::v1 as ordering};
use prost::{Message, bytes::Bytes};
use prost_reflect::DynamicMessage;
use tonic::codegen::http::HeaderMap;

/// One call.
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) step: SagaStep,
    pub(super) order: String,
    pub(super) trace: String,
    /// What the ledger tells of it.
    pub(super) effect: String,
}

impl Asked {
    /// # Panics
    /// Where it is no call of a saga, or not about an order.
    pub(super) fn read(path: &str, metadata: &HeaderMap, message: Bytes) -> Self {
        let (service, method) = path[1..].split_once('/').expect("/package.Service/Method");
        let service = DESCRIPTOR_POOL.get_service_by_name(service).expect(path);
        let called = service.methods().find(|known| known.name() == method);
        let input = called.expect(path).input();
        let request = DynamicMessage::decode(input, message.clone()).expect("the method's message");
        let order = request.get_field_by_name("order_id").expect("an order");
        let mut effect = method.to_owned();
        if method == "RejectOrder" {
            let request = ordering::RejectOrderRequest::decode(message).expect("just read");
            effect += &format!(":{}", request.rejection.unwrap_or_default().reason);
        }
        Self {
            method: method.to_owned(),
            step: saga_step(metadata),
            trace: trace_id(metadata),
            order: order.as_str().expect("a text").to_owned(),
            effect,
        }
    }

    pub(super) fn call(&self) -> Call {
        Call {
            caller: Caller::Service {
                name: "saga".into(),
            },
            method: "/test/Test",
            idempotency_key: None,
            prefer_wait: None,
            saga: Some(self.step.clone()),
        }
    }

    pub(super) fn label(&self) -> String {
        let sign = match self.step.operation {
            SagaOperation::Action => "",
            SagaOperation::Compensation => "-",
        };
        format!("{sign}{}", self.step.step)
    }
}

/// The second part of a W3C `traceparent`; empty where a test calls by itself.
fn trace_id(metadata: &HeaderMap) -> String {
    let parent = metadata.get("traceparent").map(|value| value.to_str());
    let parent = parent.and_then(Result::ok).unwrap_or_default();
    parent.split('-').nth(1).unwrap_or_default().to_owned()
}

fn saga_step(metadata: &HeaderMap) -> SagaStep {
    let text = |key: &str| {
        let value = metadata.get(key).expect(key);
        value.to_str().expect("ASCII").to_owned()
    };
    SagaStep {
        saga_id: text(SAGA_ID).parse().expect("a UUID"),
        step: text(SAGA_STEP),
        operation: match text(SAGA_OPERATION).as_str() {
            "action" => SagaOperation::Action,
            "compensation" => SagaOperation::Compensation,
            other => panic!("{other}"),
        },
        epoch: text(SAGA_EPOCH).parse().expect("a number"),
    }
}

//! Calls in somebody's name, and what their refusals say.

use chassis::{
    SagaOperation,
    call::{SAGA_EPOCH, SAGA_ID, SAGA_OPERATION, SAGA_STEP},
};
use tonic::{
    Request, Status,
    metadata::{MetadataKey, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};
use tonic_types::StatusExt as _;
use uuid::Uuid;

/// What generated clients are made with.
pub type Client = InterceptedService<Channel, Bearer>;

/// Adds an access token to each call; none where nobody calls.
#[derive(Clone, Debug)]
pub struct Bearer(pub(crate) Option<String>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            let value = format!("Bearer {token}").parse().expect("tokens are ASCII");
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    }
}

/// The step of a saga that a call carries out.
#[derive(Clone, Debug)]
pub struct SagaCall {
    /// The saga.
    pub saga: Uuid,
    /// The step's name.
    pub step: &'static str,
    /// The orchestrator's epoch.
    pub epoch: i64,
}

impl SagaCall {
    /// A step of a new saga in its first epoch.
    pub fn new(step: &'static str) -> Self {
        Self {
            saga: Uuid::now_v7(),
            step,
            epoch: 1,
        }
    }

    /// The call that does the step.
    pub fn action<M>(&self, message: M) -> Request<M> {
        self.request(SagaOperation::Action, message)
    }

    /// The call that undoes the step.
    pub fn compensation<M>(&self, message: M) -> Request<M> {
        self.request(SagaOperation::Compensation, message)
    }

    fn request<M>(&self, operation: SagaOperation, message: M) -> Request<M> {
        let mut request = Request::new(message);
        for (key, value) in [
            (SAGA_ID, self.saga.to_string()),
            (SAGA_STEP, self.step.to_owned()),
            (SAGA_OPERATION, operation.as_str().to_owned()),
            (SAGA_EPOCH, self.epoch.to_string()),
        ] {
            let value: MetadataValue<_> = value.parse().expect("ASCII");
            request
                .metadata_mut()
                .insert(MetadataKey::from_static(key), value);
        }
        request
    }
}

/// The `google.rpc.ErrorInfo` reason of a refusal; empty where it has none.
pub fn reason(status: &Status) -> String {
    chassis::status::reason(status)
}

/// The fields that a refusal names, as JSON names them.
pub fn violated_fields(status: &Status) -> Vec<String> {
    let violations = status
        .get_details_bad_request()
        .map(|bad| bad.field_violations)
        .unwrap_or_default();
    violations
        .into_iter()
        .map(|violation| violation.field)
        .collect()
}

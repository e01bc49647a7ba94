//! Who calls, and what came with the call beside its message.

use std::time::Duration;

use tonic::{Request, metadata::MetadataMap};
use uuid::Uuid;

/// Metadata key of the saga that a call belongs to.
pub const SAGA_ID: &str = "caravan-saga-id";
/// Metadata key of the saga's step.
pub const SAGA_STEP: &str = "caravan-saga-step";
/// Metadata key that tells `action` from `compensation`.
pub const SAGA_OPERATION: &str = "caravan-saga-operation";
/// Metadata key of the orchestrator's fencing epoch.
pub const SAGA_EPOCH: &str = "caravan-saga-epoch";

/// Longest `Prefer: wait` that is honoured.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// Longest Idempotency-Key, in bytes.
pub(crate) const MAX_IDEMPOTENCY_KEY_BYTES: usize = 255;

/// Who calls, as the access token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// No token.
    Anonymous,
    /// A person.
    User {
        /// The account.
        id: Uuid,
        /// `customer`, `support`, `operator`, `admin`.
        roles: Vec<String>,
    },
    /// A service of the mesh.
    Service {
        /// Its logical name.
        name: String,
    },
    /// A system outside of the mesh. It reaches a handler only where the contract names one of its scopes: elsewhere it is
    /// nobody.
    Client {
        /// The id that it was given.
        id: String,
        /// What its token may be used for, e.g. `orders:read`.
        scopes: Vec<String>,
    },
}

impl Caller {
    /// The account, where a person calls.
    pub fn user_id(&self) -> Option<Uuid> {
        match self {
            Self::User { id, .. } => Some(*id),
            _ => None,
        }
    }

    /// Whether a person with this role calls.
    pub fn has_role(&self, role: &str) -> bool {
        matches!(self, Self::User { roles, .. } if roles.iter().any(|held| held == role))
    }

    /// Whether the caller may see everybody's objects: support, admins, services, and clients, whose scopes are about all.
    pub fn sees_all(&self) -> bool {
        matches!(self, Self::Service { .. } | Self::Client { .. })
            || self.has_role("support")
            || self.has_role("admin")
    }

    /// Whose objects a list for this caller is confined to; `None` where it [may see everybody's](Self::sees_all).
    /// A caller without an account gets the nil id: nobody's objects, never everybody's.
    pub fn sees_only(&self) -> Option<Uuid> {
        (!self.sees_all()).then(|| self.user_id().unwrap_or(Uuid::nil()))
    }

    /// A name for logs and audit rows: `user:<id>`, `service:<name>`, `client:<id>` or `anonymous`.
    pub fn label(&self) -> String {
        match self {
            Self::Anonymous => "anonymous".to_owned(),
            Self::User { id, .. } => format!("user:{id}"),
            Self::Service { name } => format!("service:{name}"),
            Self::Client { id, .. } => format!("client:{id}"),
        }
    }
}

/// Whether a saga does a step or undoes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SagaOperation {
    /// Does it.
    Action,
    /// Undoes it.
    Compensation,
}

impl SagaOperation {
    /// As metadata and rows say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Action => "action",
            Self::Compensation => "compensation",
        }
    }
}

/// The saga step that a call carries out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SagaStep {
    /// The saga.
    pub saga_id: Uuid,
    /// The step's name.
    pub step: String,
    /// Doing or undoing.
    pub operation: SagaOperation,
    /// The orchestrator's fencing epoch; an older one than seen before is refused.
    pub epoch: i64,
}

/// What came with a call beside its message.
#[derive(Clone, Debug)]
pub struct Call {
    /// Who calls.
    pub caller: Caller,
    /// The rpc, `/package.Service/Method`.
    pub method: &'static str,
    /// The Idempotency-Key, where the contract heeds one and the caller sent one.
    pub idempotency_key: Option<String>,
    /// How long the caller is willing to wait for an outcome (`Prefer: wait=N`).
    pub prefer_wait: Option<Duration>,
    /// The saga step that this call carries out, where a service sent one.
    pub saga: Option<SagaStep>,
}

impl Call {
    /// Reads a request's caller and metadata. Saga metadata counts only from services.
    pub(crate) fn of<T>(request: &Request<T>, method: &'static str) -> Self {
        let caller = request
            .extensions()
            .get::<Caller>()
            .cloned()
            .unwrap_or(Caller::Anonymous);
        let metadata = request.metadata();
        let saga = matches!(caller, Caller::Service { .. })
            .then(|| saga_step(metadata))
            .flatten();
        Self {
            caller,
            method,
            idempotency_key: text(metadata, "idempotency-key").map(str::to_owned),
            prefer_wait: text(metadata, "prefer").and_then(wait_seconds),
            saga,
        }
    }
}

fn text<'a>(metadata: &'a MetadataMap, key: &str) -> Option<&'a str> {
    metadata
        .get(key)?
        .to_str()
        .ok()
        .map(str::trim)
        .filter(|value| !value.is_empty())
}

fn saga_step(metadata: &MetadataMap) -> Option<SagaStep> {
    Some(SagaStep {
        saga_id: text(metadata, SAGA_ID)?.parse().ok()?,
        step: text(metadata, SAGA_STEP)?.to_owned(),
        operation: match text(metadata, SAGA_OPERATION)? {
            "action" => SagaOperation::Action,
            "compensation" => SagaOperation::Compensation,
            _ => return None,
        },
        epoch: text(metadata, SAGA_EPOCH)?.parse().ok()?,
    })
}

/// The seconds of `wait=N` in a Prefer header (RFC 7240), capped.
fn wait_seconds(prefer: &str) -> Option<Duration> {
    let preference = prefer
        .split([',', ';'])
        .find_map(|part| part.trim().strip_prefix("wait="))?;
    let seconds: u64 = preference.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(MAX_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefer_wait_is_read_among_others_and_capped() {
        assert_eq!(
            wait_seconds("respond-async, wait=5"),
            Some(Duration::from_secs(5))
        );
        assert_eq!(wait_seconds("wait=100000"), Some(MAX_WAIT));
        assert_eq!(wait_seconds("wait=soon"), None);
    }

    #[test]
    fn a_list_is_confined_unless_the_caller_sees_all() {
        let user = |role: &str| Caller::User {
            id: Uuid::max(),
            roles: vec![role.to_owned()],
        };
        assert_eq!(user("customer").sees_only(), Some(Uuid::max()));
        assert_eq!(user("operator").sees_only(), Some(Uuid::max()));
        assert_eq!(user("support").sees_only(), None);
        let service = Caller::Service {
            name: "saga".into(),
        };
        assert_eq!(service.sees_only(), None);
        assert_eq!(Caller::Anonymous.sees_only(), Some(Uuid::nil()));
    }

    #[test]
    fn only_services_speak_for_sagas() {
        let mut request = Request::new(());
        for (key, value) in [
            (SAGA_ID, "0190a5c0-0000-7000-8000-000000000000"),
            (SAGA_STEP, "reserve"),
            (SAGA_OPERATION, "action"),
            (SAGA_EPOCH, "3"),
        ] {
            request
                .metadata_mut()
                .insert(key, value.parse().expect("ascii"));
        }
        assert_eq!(Call::of(&request, "/x/Y").saga, None);
        request.extensions_mut().insert(Caller::Service {
            name: "saga".into(),
        });
        assert_eq!(Call::of(&request, "/x/Y").saga.expect("a service").epoch, 3);
    }
}

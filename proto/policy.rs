//! What the options in the contract say, as types. Read once, from the descriptors; there is no second list.

use std::{collections::HashMap, sync::LazyLock, time::Duration};

use prost_reflect::{
    DynamicMessage, ExtensionDescriptor, MessageDescriptor, MethodDescriptor, Value,
};

use crate::{
    DESCRIPTOR_POOL,
    caravan::options::v1::{Access, Event, Idempotency, Rest},
};

/// What the contract says of one rpc.
#[derive(Clone, Debug)]
pub struct MethodPolicy {
    /// Who may call it; `None` where the contract forgot to say, which keeps a service from booting.
    pub access: Option<Access>,
    /// What an Idempotency-Key means to it.
    pub idempotency: Idempotency,
    /// Time it may take where the caller names none.
    pub deadline: Option<Duration>,
    /// REST details that the route does not hold.
    pub rest: Rest,
}

/// What the contract says of one event message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventPolicy {
    /// `<service>.<aggregate>.<participle>.v1`
    pub subject: String,
    /// Name of the field that holds the aggregate's id.
    pub aggregate_id_field: String,
}

impl EventPolicy {
    /// The service that publishes the event: the first part of its subject.
    pub fn publisher(&self) -> &str {
        self.subject.split('.').next().unwrap_or_default()
    }
}

/// What the contract says of the rpc at `path` (`/package.Service/Method`).
pub fn method(path: &str) -> Option<&'static MethodPolicy> {
    METHODS.get(path)
}

/// The rpc that takes `message` (a full name) as its request, `/package.Service/Method`, and its policy.
///
/// Unambiguous, since the contract gives every rpc a request message of its own.
pub fn method_of_request(message: &str) -> Option<(&'static str, &'static MethodPolicy)> {
    let path = BY_REQUEST.get(message)?;
    Some((path.as_str(), METHODS.get(path)?))
}

/// What the contract says of an event, by the message's full name.
pub fn event(message: &str) -> Option<&'static EventPolicy> {
    EVENTS.get(message)
}

/// Every event message of the contract with its policy.
pub fn events() -> impl Iterator<Item = (&'static str, &'static EventPolicy)> {
    EVENTS.iter().map(|(name, policy)| (name.as_str(), policy))
}

/// The event message that is published on `subject`.
pub fn event_message(subject: &str) -> Option<MessageDescriptor> {
    let (name, _) = EVENTS
        .iter()
        .find(|(_, policy)| policy.subject == subject)?;
    DESCRIPTOR_POOL.get_message_by_name(name)
}

/// Reads the policy of a method from its options; also for descriptors that were not built in,
/// as long as their pool knows `caravan.options.v1`.
pub fn of_method(method: &MethodDescriptor) -> MethodPolicy {
    let options = method.options();
    let pool = method.parent_pool();
    let option = |name: &str| extension(&options, pool.get_extension_by_name(name));
    MethodPolicy {
        access: option("caravan.options.v1.access").and_then(|value| message(&value)),
        idempotency: option("caravan.options.v1.idempotency")
            .and_then(|value| value.as_enum_number())
            .and_then(|number| Idempotency::try_from(number).ok())
            .unwrap_or_default(),
        deadline: option("caravan.options.v1.deadline")
            .and_then(|value| message::<prost_types::Duration>(&value))
            .and_then(|duration| duration.try_into().ok()),
        rest: option("caravan.options.v1.rest")
            .and_then(|value| message(&value))
            .unwrap_or_default(),
    }
}

static METHODS: LazyLock<HashMap<String, MethodPolicy>> = LazyLock::new(|| {
    DESCRIPTOR_POOL
        .services()
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .map(|method| {
            (
                format!("/{}/{}", method.parent_service().full_name(), method.name()),
                of_method(&method),
            )
        })
        .collect()
});

static BY_REQUEST: LazyLock<HashMap<String, String>> = LazyLock::new(|| {
    DESCRIPTOR_POOL
        .services()
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .map(|method| {
            let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
            (method.input().full_name().to_owned(), path)
        })
        .collect()
});

static EVENTS: LazyLock<HashMap<String, EventPolicy>> = LazyLock::new(|| {
    let option = DESCRIPTOR_POOL.get_extension_by_name("caravan.options.v1.event");
    DESCRIPTOR_POOL
        .all_messages()
        .filter_map(|descriptor| {
            let event: Event = message(&extension(&descriptor.options(), option.clone())?)?;
            let policy = EventPolicy {
                subject: event.subject,
                aggregate_id_field: event.aggregate_id_field,
            };
            Some((descriptor.full_name().to_owned(), policy))
        })
        .collect()
});

/// The value of an option, where it is set.
fn extension(options: &DynamicMessage, extension: Option<ExtensionDescriptor>) -> Option<Value> {
    let extension = extension?;
    options
        .has_extension(&extension)
        .then(|| options.get_extension(&extension).into_owned())
}

fn message<M: prost::Message + Default>(value: &Value) -> Option<M> {
    value.as_message()?.transcode_to().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rpc_says_who_may_call_it() {
        let silent: Vec<_> = METHODS
            .iter()
            .filter(|(_, policy)| policy.access.is_none())
            .map(|(path, _)| path)
            .collect();
        assert!(silent.is_empty(), "no access option: {silent:?}");
    }

    #[test]
    fn every_rpc_has_a_request_message_of_its_own() {
        assert_eq!(BY_REQUEST.len(), METHODS.len());
    }

    #[test]
    fn every_event_names_its_publisher_and_a_field_that_exists() {
        assert!(!EVENTS.is_empty());
        for (name, policy) in EVENTS.iter() {
            let descriptor = DESCRIPTOR_POOL.get_message_by_name(name).expect("listed");
            assert!(
                descriptor
                    .get_field_by_name(&policy.aggregate_id_field)
                    .is_some(),
                "{name}: {policy:?}"
            );
            assert!(
                name.starts_with(&format!("caravan.{}.", policy.publisher())),
                "{name}: {policy:?}"
            );
            assert!(
                policy.subject.ends_with(".v1") && policy.subject.split('.').count() == 4,
                "{name}: {policy:?}"
            );
        }
    }

    #[test]
    fn no_two_events_share_a_subject() {
        let mut subjects: Vec<_> = EVENTS.values().map(|policy| &policy.subject).collect();
        subjects.sort();
        let all = subjects.len();
        subjects.dedup();
        assert_eq!(all, subjects.len());
    }
}

//! What the options in the contract say, as types. Read once, from the descriptors; there is no second list.

use std::{borrow::Cow, collections::HashMap, sync::LazyLock, time::Duration};

use prost::Message as _;
use prost_reflect::{
    DynamicMessage, ExtensionDescriptor, MessageDescriptor, MethodDescriptor, Value,
};

use crate::{
    DESCRIPTOR_POOL,
    caravan::options::v1::{Access, Audit, Cache, Event, Idempotency, RateClass, Rest},
};

/// Publisher of events that every service has.
const EVERY_SERVICE: &str = "*";
/// Package of our options.
const OPTIONS: &str = "caravan.options.v1.";

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
    /// How long the gateway may keep an answer.
    pub cache: Option<Cache>,
    /// How often one caller may call it.
    pub rate_class: RateClass,
    /// What is remembered of a call.
    pub audit: Option<Audit>,
}

/// Our options of a method as they stand on the wire.
#[derive(Clone, PartialEq, prost::Message)]
struct MethodOptions {
    #[prost(message, optional, tag = "51001")]
    access: Option<Access>,
    #[prost(enumeration = "Idempotency", tag = "51002")]
    idempotency: i32,
    #[prost(message, optional, tag = "51003")]
    deadline: Option<prost_types::Duration>,
    #[prost(message, optional, tag = "51004")]
    rest: Option<Rest>,
    #[prost(message, optional, tag = "51005")]
    cache: Option<Cache>,
    #[prost(enumeration = "RateClass", tag = "51006")]
    rate_class: i32,
    #[prost(message, optional, tag = "51007")]
    audit: Option<Audit>,
}

/// What the contract says of one event message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventPolicy {
    /// `<service>.<aggregate>.<participle>.v1`; the service is `*` where every one publishes it.
    pub subject: String,
    /// Name of the field that holds the aggregate's id.
    pub aggregate_id_field: String,
}

impl EventPolicy {
    /// The service that publishes the event: the first part of its subject.
    pub fn publisher(&self) -> &str {
        self.subject.split('.').next().unwrap_or_default()
    }

    /// Whether every service publishes the event.
    pub fn is_published_by_all(&self) -> bool {
        self.publisher() == EVERY_SERVICE
    }

    /// Whether `service` publishes the event.
    pub fn is_published_by(&self, service: &str) -> bool {
        self.is_published_by_all() || self.publisher() == service
    }

    /// What `service` publishes the event on.
    pub fn subject_of<'a>(&'a self, service: &str) -> Cow<'a, str> {
        match self.subject.strip_prefix(EVERY_SERVICE) {
            Some(rest) => Cow::Owned(format!("{service}{rest}")),
            None => Cow::Borrowed(&self.subject),
        }
    }

    fn is_published_on(&self, subject: &str) -> bool {
        let publisher = subject.split('.').next().unwrap_or_default();
        self.subject_of(publisher) == subject
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
        .find(|(_, policy)| policy.is_published_on(subject))?;
    DESCRIPTOR_POOL.get_message_by_name(name)
}

/// Every rpc of the contract with its policy.
pub fn methods() -> impl Iterator<Item = (&'static str, &'static MethodPolicy)> {
    METHODS.iter().map(|(path, policy)| (path.as_str(), policy))
}

/// Reads the policy of a method from its options, by their numbers: also for contracts that were not built in, and for
/// descriptor sets that came without the file that declares our options.
pub fn of_method(method: &MethodDescriptor) -> MethodPolicy {
    let mut options = method.options();
    // Numbers in this range are everybody's: under the same one another contract may mean something else.
    let strangers: Vec<_> = options
        .extensions()
        .map(|(extension, _)| extension)
        .filter(|extension| !extension.full_name().starts_with(OPTIONS))
        .collect();
    for extension in strangers {
        options.clear_extension(&extension);
    }
    let bytes = options.encode_to_vec();
    let options = MethodOptions::decode(&*bytes).unwrap_or_default();
    MethodPolicy {
        idempotency: options.idempotency(),
        rate_class: options.rate_class(),
        access: options.access,
        deadline: options
            .deadline
            .and_then(|deadline| deadline.try_into().ok()),
        rest: options.rest.unwrap_or_default(),
        cache: options.cache,
        audit: options.audit,
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

    /// The contract with each of its files changed, or dropped where `change` says false.
    fn altered(change: impl Fn(&mut DynamicMessage) -> bool) -> prost_reflect::DescriptorPool {
        let descriptor = DESCRIPTOR_POOL.get_message_by_name("google.protobuf.FileDescriptorSet");
        let mut set = DynamicMessage::decode(descriptor.expect("known"), crate::DESCRIPTOR_SET)
            .expect("a descriptor set");
        let files = set.get_field_by_name_mut("file").expect("files");
        let files = files.as_list_mut().expect("a list");
        files.retain_mut(|file| change(file.as_message_mut().expect("a message")));
        prost_reflect::DescriptorPool::decode(&*set.encode_to_vec()).expect("a contract")
    }

    fn text(message: &DynamicMessage, field: &str) -> String {
        let value = message.get_field_by_name(field).expect("a field");
        value.as_str().expect("text").to_owned()
    }

    /// Whether GetProduct has an access and a cache option.
    fn read_from(pool: &prost_reflect::DescriptorPool) -> (bool, bool) {
        let service = pool.get_service_by_name("caravan.catalog.v1.CatalogService");
        let mut methods = service.expect("the service").methods().collect::<Vec<_>>();
        methods.retain(|method| method.name() == "GetProduct");
        let policy = of_method(&methods[0]);
        (policy.access.is_some(), policy.cache.is_some())
    }

    #[test]
    fn options_are_read_by_number_unless_the_number_is_somebody_elses() {
        assert_eq!(read_from(&DESCRIPTOR_POOL), (true, true));

        let is_options = |name: &str| name.starts_with("caravan/options/");
        let undeclared = altered(|file| {
            let dependencies = file.get_field_by_name_mut("dependency").expect("a field");
            let dependencies = dependencies.as_list_mut().expect("a list");
            dependencies.retain(|name| !is_options(name.as_str().expect("text")));
            !is_options(&text(file, "name"))
        });
        assert_eq!(read_from(&undeclared), (true, true));

        let strangers = altered(|file| {
            if text(file, "name") == "caravan/options/v1/traffic.proto" {
                let other = Value::String("other.options.v1".to_owned());
                file.set_field_by_name("package", other);
                let extensions = file.get_field_by_name_mut("extension").expect("a field");
                for extension in extensions.as_list_mut().expect("a list") {
                    let extension = extension.as_message_mut().expect("a message");
                    let name = text(extension, "type_name").replace("caravan", "other");
                    extension.set_field_by_name("type_name", Value::String(name));
                }
            }
            true
        });
        assert_eq!(read_from(&strangers), (true, false));
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
                policy.is_published_by_all()
                    || name.starts_with(&format!("caravan.{}.", policy.publisher())),
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

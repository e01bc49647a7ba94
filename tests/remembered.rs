//! What those who work for the shop change is remembered (option `audit`), and what is remembered is no secret.

use std::collections::BTreeSet;

use contracts::{DESCRIPTOR_POOL, policy};
use prost_reflect::{FieldDescriptor, MessageDescriptor, MethodDescriptor, Value};

/// Longest name of an action.
const MAX_ACTION_CHARS: usize = 40;
/// How the names of rpcs begin that change nothing.
const READS: [&str; 5] = ["Get", "List", "BatchGet", "Watch", "Search"];
/// What identity writes to its own log, with more words than an option could say.
const OWN_WORDS: [&str; 4] = [
    "SetAccountRoles",
    "DeactivateAccount",
    "ReactivateAccount",
    "ResetSecondFactor",
];
/// Fields that services decide: whoever may call an rpc without a role has no say in them.
const DECIDED: [&str; 12] = [
    "create_time",
    "customer_id",
    "customer_name",
    "email_verified",
    "owner",
    "price",
    "roles",
    "state",
    "status",
    "total",
    "unit_price",
    "version",
];
/// Requests that hold a whole object, of which their handlers take some fields and refuse the others by name.
const REFUSED_BY_NAME: [&str; 1] = ["caravan.identity.v1.UpdateMyAccountRequest"];

fn methods() -> Vec<(MethodDescriptor, policy::MethodPolicy)> {
    let services = DESCRIPTOR_POOL.services();
    services
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .map(|method| {
            let policy = policy::of_method(&method);
            (method, policy)
        })
        .collect()
}

fn is_read(method: &MethodDescriptor) -> bool {
    READS.iter().any(|read| method.name().starts_with(read))
}

/// The field at a dotted path.
fn field(message: &MessageDescriptor, path: &str) -> Option<FieldDescriptor> {
    let (name, rest) = path
        .split_once('.')
        .map_or((path, None), |(name, rest)| (name, Some(rest)));
    let found = message.get_field_by_name(name)?;
    match rest {
        None => Some(found),
        Some(rest) => field(found.kind().as_message()?, rest),
    }
}

fn is_secret(field: &FieldDescriptor) -> bool {
    let redact = field
        .options()
        .get_field_by_name("debug_redact")
        .map(|value| value.into_owned());
    redact == Some(Value::Bool(true))
}

#[test]
fn what_staff_changes_is_remembered() {
    let mut forgotten = Vec::new();
    for (method, policy) in methods() {
        let access = policy.access.unwrap_or_default();
        let for_staff = !access.roles.is_empty() && !access.public && !access.signed_in;
        let remembered = policy.audit.is_some() || OWN_WORDS.contains(&method.name());
        if for_staff && !is_read(&method) && !remembered {
            forgotten.push(method.full_name().to_owned());
        }
    }
    assert!(forgotten.is_empty(), "no audit option: {forgotten:?}");
}

#[test]
fn what_is_remembered_is_named_well_and_no_secret() {
    let mut actions = BTreeSet::new();
    for (method, policy) in methods() {
        let Some(audit) = policy.audit else { continue };
        let name = method.full_name();
        let is_plain = audit
            .action
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte == b'_');
        assert!(is_plain && !audit.action.is_empty(), "{name}: {audit:?}");
        assert!(audit.action.len() <= MAX_ACTION_CHARS, "{name}: {audit:?}");
        assert!(
            actions.insert(audit.action.clone()),
            "{name}: twice {}",
            audit.action
        );
        let target = (!audit.target.is_empty()).then_some(&audit.target);
        for path in audit.details.iter().chain(target) {
            let field = field(&method.input(), path);
            let field = field.unwrap_or_else(|| panic!("{name} has no field {path}"));
            assert!(!is_secret(&field), "{name}: {path} is a secret");
        }
    }
    assert!(!actions.is_empty());
}

/// Paths of fields that only services decide, in a message and all within.
fn decided(message: &MessageDescriptor, path: &str, seen: &mut BTreeSet<String>) -> Vec<String> {
    if !message.full_name().starts_with("caravan.") || !seen.insert(message.full_name().to_owned())
    {
        return Vec::new();
    }
    let mut found = Vec::new();
    for field in message.fields() {
        let path = format!("{path}.{}", field.name());
        if DECIDED.contains(&field.name()) {
            found.push(path.clone());
        }
        if let Some(inner) = field.kind().as_message() {
            found.extend(decided(inner, &path, seen));
        }
    }
    found
}

#[test]
fn nobody_without_a_role_is_asked_what_services_decide() {
    for (method, policy) in methods() {
        let access = policy.access.unwrap_or_default();
        let input = method.input();
        if is_read(&method)
            || !(access.public || access.signed_in)
            || REFUSED_BY_NAME.contains(&input.full_name())
        {
            continue;
        }
        let found = decided(&input, method.full_name(), &mut BTreeSet::new());
        assert!(found.is_empty(), "{found:?}");
    }
}

//! What the contract says that there is: rpcs, routes, and requests that keep its rules.

use contracts::{
    DESCRIPTOR_POOL,
    buf::validate::{FieldRules, StringRules, field_rules::Type, int32_rules, int64_rules},
    policy::{self, MethodPolicy},
};
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, MethodDescriptor,
    ReflectMessage as _, SerializeOptions, Value, prost::Message as _,
};
use reqwest::Method;
use serde_json::Value as Json;

/// The id of nothing.
const NO_ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// One rpc.
#[derive(Clone)]
pub(crate) struct Rpc {
    pub(crate) method: MethodDescriptor,
    /// `/package.Service/Method`
    pub(crate) path: String,
    pub(crate) policy: &'static MethodPolicy,
    pub(crate) routes: Vec<Route>,
}

/// One REST route of an rpc.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) verb: Method,
    pub(crate) template: String,
    /// Empty, `*` or a field.
    body: String,
}

/// A request as REST has it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) verb: Method,
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) content_type: &'static str,
    /// Empty where there is none.
    pub(crate) body: Json,
    /// Whether the body is a form rather than JSON.
    pub(crate) is_form: bool,
}

impl Rpc {
    /// Without its package's first part, e.g. `catalog.v1.CatalogService/GetProduct`.
    pub(crate) fn name(&self) -> &str {
        self.path.trim_start_matches("/caravan.")
    }

    /// The logical names of the services that serve it: the second part of its package, or all of them.
    pub(crate) fn hosts(&self) -> Vec<String> {
        let package = self.method.parent_service().package_name().to_owned();
        match package.split('.').nth(1) {
            Some("ops") => services(),
            Some(service) => vec![service.to_owned()],
            None => panic!("{package} names no service"),
        }
    }

    pub(crate) fn streams(&self) -> bool {
        self.method.is_server_streaming() || self.method.is_client_streaming()
    }
}

/// Every rpc of the contract.
pub(crate) fn rpcs() -> Vec<Rpc> {
    let ours = DESCRIPTOR_POOL
        .services()
        .filter(|service| service.package_name().starts_with("caravan."));
    ours.flat_map(|service| service.methods().collect::<Vec<_>>())
        .map(|method| {
            let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
            Rpc {
                policy: policy::method(&path).expect("every rpc has a policy"),
                routes: routes(&method),
                path,
                method,
            }
        })
        .collect()
}

/// Logical names of the services that have rpcs of their own.
pub(crate) fn services() -> Vec<String> {
    let mut names: Vec<_> = DESCRIPTOR_POOL
        .services()
        .filter_map(|service| {
            let package = service.package_name().strip_prefix("caravan.")?;
            package.split('.').next().map(str::to_owned)
        })
        .filter(|name| name != "ops")
        .collect();
    names.sort();
    names.dedup();
    names
}

fn routes(method: &MethodDescriptor) -> Vec<Route> {
    let http = DESCRIPTOR_POOL
        .get_extension_by_name("google.api.http")
        .expect("in the contract");
    let options = method.options();
    if !options.has_extension(&http) {
        return Vec::new();
    }
    let rule = options.get_extension(&http);
    let rule = rule.as_message().expect("a rule");
    let more = rule.get_field_by_name("additional_bindings");
    let more = more.iter().flat_map(|more| more.as_list().unwrap_or(&[]));
    let more = more.filter_map(|rule| rule.as_message().and_then(route));
    route(rule).into_iter().chain(more).collect()
}

fn route(rule: &DynamicMessage) -> Option<Route> {
    let text = |name: &str| {
        let value = rule.get_field_by_name(name);
        value.and_then(|value| value.as_str().map(str::to_owned))
    };
    let verbs = ["get", "put", "post", "delete", "patch"];
    let verb = verbs.iter().find(|verb| rule.has_field_by_name(verb))?;
    Some(Route {
        verb: Method::from_bytes(verb.to_uppercase().as_bytes()).expect("a verb"),
        template: text(verb)?,
        body: text("body").unwrap_or_default(),
    })
}

/// What a request holds: a value for a field where the test has one of its own.
pub(crate) type Known<'a> = &'a dyn Fn(&FieldDescriptor) -> Option<Value>;

/// A request that keeps the contract's rules; with `whole` it has every field, else only what must be there.
pub(crate) fn sample(message: &MessageDescriptor, whole: bool, known: Known<'_>) -> DynamicMessage {
    let mut sample = DynamicMessage::new(message.clone());
    for field in message.fields() {
        let rules = rules(&field);
        let in_oneof = field
            .containing_oneof()
            .filter(|oneof| !oneof.is_synthetic());
        // The first of each oneof.
        let is_first = in_oneof
            .as_ref()
            .is_none_or(|oneof| oneof.fields().next().as_ref() == Some(&field));
        if !is_first || !(whole || in_oneof.is_some() || is_needed(&field, &rules)) {
            continue;
        }
        let own = known(&field);
        // Only a list itself can make one.
        if field.name() == "page_token" && own.is_none() {
            continue;
        }
        let value = if field.is_list() {
            let items = match &rules.r#type {
                Some(Type::Repeated(list)) => list.items.as_deref().cloned().unwrap_or_default(),
                _ => FieldRules::default(),
            };
            match own {
                Some(list @ Value::List(_)) => Some(list),
                Some(one) => Some(Value::List(vec![one])),
                None => scalar(&field, &items, whole, known).map(|one| Value::List(vec![one])),
            }
        } else {
            own.or_else(|| scalar(&field, &rules, whole, known))
        };
        if let Some(value) = value {
            sample.set_field(&field, value);
        }
    }
    sample
}

/// Whether a request without this field breaks a rule.
fn is_needed(field: &FieldDescriptor, rules: &FieldRules) -> bool {
    if rules.required() {
        return true;
    }
    if rules.ignore() != Default::default() || field.supports_presence() {
        return false;
    }
    match &rules.r#type {
        Some(Type::String(text)) => {
            text.min_len() > 0 || text.well_known.is_some() || text.pattern.is_some()
        }
        Some(Type::Repeated(list)) => list.min_items() > 0,
        Some(Type::Int32(number)) => least_32(number) > 0,
        Some(Type::Int64(number)) => least_64(number) > 0,
        _ => false,
    }
}

fn scalar(
    field: &FieldDescriptor,
    rules: &FieldRules,
    whole: bool,
    known: Known<'_>,
) -> Option<Value> {
    Some(match (field.kind(), &rules.r#type) {
        (Kind::String, Some(Type::String(text))) => Value::String(string(field, text)),
        (Kind::String, _) => Value::String("a".to_owned()),
        (Kind::Int32, Some(Type::Int32(number))) => Value::I32(least_32(number).max(1)),
        (Kind::Int32, _) => Value::I32(1),
        (Kind::Int64, Some(Type::Int64(number))) => Value::I64(least_64(number).max(1)),
        (Kind::Int64, _) => Value::I64(1),
        (Kind::Uint32, _) => Value::U32(1),
        (Kind::Uint64, _) => Value::U64(1),
        (Kind::Double, _) => Value::F64(1.0),
        (Kind::Bool, _) => Value::Bool(true),
        (Kind::Bytes, _) => Value::Bytes("a".into()),
        (Kind::Enum(values), _) => {
            let number = values.values().nth(1).map_or(0, |value| value.number());
            Value::EnumNumber(number)
        }
        (Kind::Message(inner), _) => Value::Message(message(&inner, whole, known)?),
        _ => return None,
    })
}

fn message(inner: &MessageDescriptor, whole: bool, known: Known<'_>) -> Option<DynamicMessage> {
    match inner.full_name() {
        // What it names depends on the message beside it.
        "google.protobuf.FieldMask" => None,
        "google.protobuf.Struct" => {
            let value = DESCRIPTOR_POOL
                .get_message_by_name("google.protobuf.Value")
                .expect("well known");
            let mut text = DynamicMessage::new(value);
            text.set_field_by_name("string_value", Value::String("a".into()));
            let mut sample = DynamicMessage::new(inner.clone());
            let entry = (MapKey::String("a".into()), Value::Message(text));
            sample.set_field_by_name("fields", Value::Map([entry].into()));
            Some(sample)
        }
        _ => Some(sample(inner, whole, known)),
    }
}

fn string(field: &FieldDescriptor, rules: &StringRules) -> String {
    use contracts::buf::validate::string_rules::WellKnown;

    match (rules.well_known, field.name()) {
        (Some(WellKnown::Uuid(true)), _) => NO_ID.to_owned(),
        (Some(WellKnown::Email(true)), _) => "sample@example.org".to_owned(),
        (_, "currency_code") => "EUR".to_owned(),
        (_, "locale") => "de".to_owned(),
        (_, "filter") => "info".to_owned(),
        _ => {
            let letters = usize::try_from(rules.min_len().max(1)).expect("short");
            "a".repeat(letters)
        }
    }
}

fn least_32(rules: &contracts::buf::validate::Int32Rules) -> i32 {
    match rules.greater_than {
        Some(int32_rules::GreaterThan::Gte(least)) => least,
        Some(int32_rules::GreaterThan::Gt(below)) => below + 1,
        None => 0,
    }
}

fn least_64(rules: &contracts::buf::validate::Int64Rules) -> i64 {
    match rules.greater_than {
        Some(int64_rules::GreaterThan::Gte(least)) => least,
        Some(int64_rules::GreaterThan::Gt(below)) => below + 1,
        None => 0,
    }
}

fn rules(field: &FieldDescriptor) -> FieldRules {
    let extension = DESCRIPTOR_POOL
        .get_extension_by_name("buf.validate.field")
        .expect("in the contract");
    let options = field.options();
    let rules = options.get_extension(&extension);
    let rules = rules.as_message().map(DynamicMessage::transcode_to);
    rules.and_then(Result::ok).unwrap_or_default()
}

/// A message as JSON.
pub(crate) fn json(message: &DynamicMessage) -> Json {
    let options = SerializeOptions::new().skip_default_fields(true);
    message
        .serialize_with_options(serde_json::value::Serializer, &options)
        .expect("a sample has a JSON form")
}

/// A message as gRPC sends it: framed, not compressed.
pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len()).expect("short").to_be_bytes());
    frame.extend(message);
    frame
}

/// The framed bytes of a sample.
pub(crate) fn frame(message: &DynamicMessage) -> Vec<u8> {
    framed(&message.encode_to_vec())
}

impl Route {
    /// The request that says this message on this route.
    pub(crate) fn ask(&self, rpc: &Rpc, message: &DynamicMessage) -> Asked {
        let mut rest = json(message);
        let mut path = String::new();
        let mut template = self.template.as_str();
        while let Some((before, after)) = template.split_once('{') {
            let (variable, after) = after.split_once('}').expect("a closed variable");
            let field = variable.split('=').next().unwrap_or(variable);
            path.push_str(before);
            let value = take(&mut rest, &message.descriptor(), field);
            match plain(&value).as_str() {
                // A path without it is another route's.
                "" => path.push_str(NO_ID),
                value => path.push_str(&escape(value)),
            }
            template = after;
        }
        path.push_str(template);
        let is_form = rpc.policy.rest.oauth;
        let (body, query) = match self.body.as_str() {
            "*" => (rest, Vec::new()),
            "" if is_form => (rest, Vec::new()),
            "" => (Json::Null, flat("", &rest)),
            field => {
                let body = take(&mut rest, &message.descriptor(), field);
                (body, flat("", &rest))
            }
        };
        Asked {
            verb: self.verb.clone(),
            path,
            query,
            content_type: match is_form {
                true => "application/x-www-form-urlencoded",
                false => "application/json",
            },
            body,
            is_form,
        }
    }
}

impl Asked {
    /// Path and query.
    pub(crate) fn target(&self) -> String {
        match self.query.is_empty() {
            true => self.path.clone(),
            false => format!("{}?{}", self.path, form(&self.query)),
        }
    }

    /// The body as it is sent.
    pub(crate) fn text(&self) -> String {
        match &self.body {
            Json::Null => String::new(),
            body if self.is_form => form(&flat("", body)),
            body => body.to_string(),
        }
    }
}

/// Takes the value at a dotted path of proto names out of JSON; null where it is not there.
fn take(json: &mut Json, message: &MessageDescriptor, path: &str) -> Json {
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    let Some(field) = message.get_field_by_name(first) else {
        panic!("{} has no field {first}", message.full_name());
    };
    let Some(object) = json.as_object_mut() else {
        return Json::Null;
    };
    match (rest, field.kind()) {
        ("", _) => object.remove(field.json_name()).unwrap_or_default(),
        (rest, Kind::Message(inner)) => match object.get_mut(field.json_name()) {
            Some(value) => take(value, &inner, rest),
            None => Json::Null,
        },
        _ => Json::Null,
    }
}

/// JSON as query parameters: `a.b=1&c=2&c=3`. What a query cannot say is left out.
fn flat(name: &str, json: &Json) -> Vec<(String, String)> {
    match json {
        Json::Object(fields) => {
            let place = |field: &str| match name {
                "" => field.to_owned(),
                _ => format!("{name}.{field}"),
            };
            let fields = fields.iter();
            fields
                .flat_map(|(field, value)| flat(&place(field), value))
                .collect()
        }
        Json::Array(items) => items.iter().flat_map(|item| flat(name, item)).collect(),
        Json::Null => Vec::new(),
        value => vec![(name.to_owned(), plain(value))],
    }
}

fn plain(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Null => String::new(),
        other => other.to_string(),
    }
}

/// Parameters as `application/x-www-form-urlencoded`.
pub(crate) fn form(parameters: &[(String, String)]) -> String {
    let pairs = parameters
        .iter()
        .map(|(name, value)| format!("{}={}", escape(name), escape(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// Everything but unreserved letters as `%XX`.
pub(crate) fn escape(text: &str) -> String {
    text.bytes().fold(String::new(), |mut escaped, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(byte.into());
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
        escaped
    })
}

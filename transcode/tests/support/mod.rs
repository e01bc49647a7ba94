//! The test contract, compiled, and short ways to use it.

#![allow(dead_code, reason = "each test file uses a part")]

pub(crate) mod contract;
pub(crate) mod random;

use std::{path::Path, sync::LazyLock};

use prost_reflect::{DescriptorPool, DeserializeOptions, DynamicMessage, SerializeOptions};
use serde_json::Value;
use transcode::{Api, Encoder, Input, InputError, Printer};

/// The test contract.
pub(crate) static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| compile("test.proto", None));

/// Its tables and routes.
pub(crate) static API: LazyLock<Api> =
    LazyLock::new(|| Api::compile(&POOL).expect("the test contract"));

/// Compiles a file of tests/proto, or `source` under that name.
pub(crate) fn compile(name: &str, source: Option<&str>) -> DescriptorPool {
    use protox::file::{
        ChainFileResolver, File, FileResolver, GoogleFileResolver, IncludeFileResolver,
    };

    struct Source(String, String);
    impl FileResolver for Source {
        fn resolve_path(&self, path: &Path) -> Option<String> {
            (path == Path::new(&self.0)).then(|| self.0.clone())
        }

        fn open_file(&self, name: &str) -> Result<File, protox::Error> {
            if name == self.0 {
                File::from_source(name, &self.1)
            } else {
                Err(protox::Error::file_not_found(name))
            }
        }
    }
    // The fuzz targets, one folder down, use this file too.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let root = root
        .into_iter()
        .find(|dir| dir.join("tests/proto").is_dir());
    let root = root.expect("the crate's folder");
    let mut resolver = ChainFileResolver::new();
    if let Some(source) = source {
        resolver.add(Source(name.to_owned(), source.to_owned()));
    }
    resolver.add(IncludeFileResolver::new(root.join("tests/proto")));
    resolver.add(IncludeFileResolver::new(root.join("../proto")));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_imports(true);
    compiler.open_file(name).expect("a contract");
    DescriptorPool::decode(&*compiler.encode_file_descriptor_set()).expect("descriptors")
}

/// JSON to wire bytes.
pub(crate) fn encode(message: &str, json: &str) -> Result<Vec<u8>, InputError> {
    let id = API.schema().message_id(message).expect("a message");
    let mut wire = Vec::new();
    Encoder::default().message(API.schema(), id, json.as_bytes(), &mut wire)?;
    Ok(wire)
}

/// Wire bytes to JSON.
pub(crate) fn print(message: &str, wire: &[u8]) -> Value {
    let id = API.schema().message_id(message).expect("a message");
    let mut json = Vec::new();
    let printed = Printer::default().message(API.schema(), id, wire, &mut json);
    printed.unwrap_or_else(|error| panic!("{message}: {error}"));
    serde_json::from_slice(&json).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&json));
    })
}

/// What prost-reflect makes of JSON.
pub(crate) fn oracle_encode(pool: &DescriptorPool, message: &str, json: &str) -> DynamicMessage {
    let descriptor = pool.get_message_by_name(message).expect("a message");
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let options = DeserializeOptions::new();
    DynamicMessage::deserialize_with_options(descriptor, &mut deserializer, &options)
        .unwrap_or_else(|error| panic!("{error}: {json}"))
}

/// What prost-reflect makes of a message.
pub(crate) fn oracle_print(message: &DynamicMessage) -> Value {
    let options = SerializeOptions::new().skip_default_fields(false);
    message
        .serialize_with_options(serde_json::value::Serializer, &options)
        .expect("JSON")
}

/// The message that a whole request makes, as prost-reflect reads it.
pub(crate) fn request(verb: &str, uri: &str, body: &str) -> Result<DynamicMessage, String> {
    request_with(&mut Encoder::default(), verb, uri, body)
}

/// As [`request`], with another encoder.
pub(crate) fn request_with(
    encoder: &mut Encoder,
    verb: &str,
    uri: &str,
    body: &str,
) -> Result<DynamicMessage, String> {
    let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
    let found = API.find(verb, path).map_err(|error| error.to_string())?;
    let mut wire = Vec::new();
    let input = Input {
        query,
        body: body.as_bytes(),
        content_type: "text/plain",
        ..Input::default()
    };
    found
        .encode(encoder, &input, &mut wire)
        .map_err(|error| error.to_string())?;
    let descriptor = found.method().descriptor.input();
    Ok(DynamicMessage::decode(descriptor, &*wire).expect("wire bytes"))
}

/// Whether two JSON values are the same, however their numbers are written: `1` or `1.0`, as `f32` or as `f64`.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => {
            let (Some(x), Some(y)) = (x.as_f64(), y.as_f64()) else {
                return x == y;
            };
            x == y || (x as f32) == (y as f32)
        }
        (Value::Array(x), Value::Array(y)) => {
            x.len() == y.len() && x.iter().zip(y).all(|(x, y)| same(x, y))
        }
        (Value::Object(x), Value::Object(y)) => {
            let matches = |(name, value)| y.get(name).is_some_and(|other| same(value, other));
            x.len() == y.len() && x.iter().all(matches)
        }
        _ => a == b,
    }
}

/// Whether two messages are the same. NaN is itself here, and -0 is 0, which prost-reflect takes for unset.
pub(crate) fn equal(a: &DynamicMessage, b: &DynamicMessage) -> bool {
    use prost_reflect::ReflectMessage as _;

    let descriptor = a.descriptor();
    let mut fields = descriptor.fields();
    fields.all(|field| match (a.has_field(&field), b.has_field(&field)) {
        (false, false) => true,
        (one, other) if one != other && field.supports_presence() => false,
        _ => equal_value(&a.get_field(&field), &b.get_field(&field)),
    })
}

fn equal_value(a: &prost_reflect::Value, b: &prost_reflect::Value) -> bool {
    use prost_reflect::Value;

    match (a, b) {
        (Value::F64(a), Value::F64(b)) => a == b || (a.is_nan() && b.is_nan()),
        (Value::F32(a), Value::F32(b)) => a == b || (a.is_nan() && b.is_nan()),
        (Value::Message(a), Value::Message(b)) => equal(a, b),
        (Value::List(a), Value::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal_value(a, b))
        }
        (Value::Map(a), Value::Map(b)) => {
            let same = |(key, value)| b.get(key).is_some_and(|other| equal_value(value, other));
            a.len() == b.len() && a.iter().all(same)
        }
        _ => a == b,
    }
}

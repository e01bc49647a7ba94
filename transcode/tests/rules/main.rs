//! What the gateway's specification says of transcoding, rule by rule, as tables.
//!
//! 1 templates, 2 variables, 3 sources of fields, 4 values, 5 queries, 6 unknown names, 7 replies, 8 masks, 11 limits.
//! `requests.rs` and `mapping.rs` hold more cases of the same rules; 9 and 10 are of HTTP: `gateway/tests/rules.rs`.

mod headers;
mod paths;
mod replies;
mod sources;
#[path = "../support/mod.rs"]
mod support;
mod values;

use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde_json::Value;
use support::{compile, request};

/// The request without its empty fields.
pub(crate) fn made(verb: &str, uri: &str, body: &str) -> Value {
    let message = request(verb, uri, body).unwrap_or_else(|error| panic!("{verb} {uri}: {error}"));
    json_of(&message)
}

pub(crate) fn json_of(message: &DynamicMessage) -> Value {
    message
        .serialize_with_options(serde_json::value::Serializer, &SerializeOptions::new())
        .expect("JSON")
}

/// A contract of one service, by its rpcs; all take and answer `M`.
pub(crate) fn contract(rpcs: &[(&str, &str)]) -> DescriptorPool {
    let rpcs: String = rpcs
        .iter()
        .map(|(name, rule)| {
            format!("rpc {name}(M) returns (M) {{ option (google.api.http) = {{{rule}}}; }}\n")
        })
        .collect();
    let source = format!(
        r#"syntax = "proto3"; package c.v1; import "google/api/annotations.proto";
        message M {{ string a = 1; M m = 2; repeated string l = 3; string b = 4; int32 n = 5;
            oneof o {{ string x = 6; string y = 7; }} map<string, string> t = 8; repeated int32 ns = 9; }}
        service S {{ {rpcs} }}"#
    );
    compile("c.proto", Some(&source))
}

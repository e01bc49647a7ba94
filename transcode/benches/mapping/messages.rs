//! The benchmarks' messages as static types: prost for the wire, serde for JSON, as pbjson would generate them.

use std::path::Path;

use prost::Message;
use prost_reflect::DescriptorPool;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Money {
    #[prost(string, tag = "1")]
    pub(crate) currency_code: String,
    #[prost(int64, tag = "2")]
    #[serde(with = "quoted")]
    pub(crate) minor_units: i64,
}

#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Line {
    #[prost(string, tag = "1")]
    pub(crate) sku: String,
    #[prost(string, tag = "2")]
    pub(crate) name: String,
    #[prost(int32, tag = "3")]
    pub(crate) quantity: i32,
    #[prost(message, optional, tag = "4")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unit_price: Option<Money>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum Status {
    Unspecified = 0,
    Pending = 1,
    Confirmed = 2,
    Shipped = 3,
}

const STATUSES: [&str; 4] = [
    "STATUS_UNSPECIFIED",
    "STATUS_PENDING",
    "STATUS_CONFIRMED",
    "STATUS_SHIPPED",
];

#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Order {
    #[prost(string, tag = "1")]
    pub(crate) order_id: String,
    #[prost(string, tag = "2")]
    pub(crate) customer_name: String,
    #[prost(enumeration = "Status", tag = "3")]
    #[serde(with = "status")]
    pub(crate) status: i32,
    #[prost(message, repeated, tag = "4")]
    pub(crate) lines: Vec<Line>,
    #[prost(message, optional, tag = "5")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) total: Option<Money>,
    #[prost(bool, tag = "6")]
    pub(crate) gift: bool,
    #[prost(double, tag = "7")]
    pub(crate) weight_kg: f64,
    #[prost(int32, repeated, tag = "8")]
    pub(crate) marks: Vec<i32>,
    #[prost(message, optional, tag = "9")]
    #[serde(with = "time", skip_serializing_if = "Option::is_none")]
    pub(crate) create_time: Option<prost_types::Timestamp>,
}

#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Orders {
    #[prost(message, repeated, tag = "1")]
    pub(crate) orders: Vec<Order>,
    #[prost(string, tag = "2")]
    pub(crate) next_page_token: String,
}

mod quoted {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(value: &i64, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
        let text: std::borrow::Cow<'_, str> = Deserialize::deserialize(from)?;
        text.parse().map_err(D::Error::custom)
    }
}

mod status {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(value: &i32, to: S) -> Result<S::Ok, S::Error> {
        match usize::try_from(*value).ok().and_then(|at| STATUSES.get(at)) {
            Some(name) => to.serialize_str(name),
            None => to.serialize_i32(*value),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<i32, D::Error> {
        let name: std::borrow::Cow<'_, str> = Deserialize::deserialize(from)?;
        let at = STATUSES.iter().position(|known| **known == *name);
        at.map(|at| at as i32)
            .ok_or_else(|| D::Error::custom("no such status"))
    }
}

mod time {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(
        value: &Option<prost_types::Timestamp>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(time) => to.collect_str(time),
            None => to.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<prost_types::Timestamp>, D::Error> {
        let text: Option<std::borrow::Cow<'_, str>> = Deserialize::deserialize(from)?;
        text.map(|text| text.parse().map_err(D::Error::custom))
            .transpose()
    }
}

/// An order with `lines` lines.
pub(crate) fn order(index: usize, lines: usize) -> Order {
    let money = |minor_units| {
        Some(Money {
            currency_code: "EUR".to_owned(),
            minor_units,
        })
    };
    let line = |line: usize| Line {
        sku: format!("TEA-ASSAM-{}", 100 + line),
        name: "Assam tea, \"second flush\", 100 g".to_owned(),
        quantity: (line % 9) as i32 + 1,
        unit_price: money(690 + line as i64),
    };
    Order {
        order_id: format!("01938c5e-7d2a-7c31-9b61-{index:012}"),
        customer_name: "Adélaïde Okonkwo".to_owned(),
        status: (index % 4) as i32,
        lines: (0..lines).map(line).collect(),
        total: money(1_380 * index as i64),
        gift: index.is_multiple_of(3),
        weight_kg: 0.1 + 0.25 * index as f64,
        marks: vec![1, 22, 333],
        create_time: Some(prost_types::Timestamp {
            seconds: 1_795_178_096 + index as i64,
            nanos: 500_000_000,
        }),
    }
}

/// Orders whose JSON has about `size` bytes.
pub(crate) fn orders(size: usize) -> Orders {
    let one = |index| order(index, 2);
    let each = serde_json::to_vec(&one(1)).expect("JSON").len();
    Orders {
        orders: (0..size.div_ceil(each).max(2)).map(one).collect(),
        next_page_token: "b2Zmc2V0OjIw".to_owned(),
    }
}

/// The contract of these types.
pub(crate) fn pool() -> DescriptorPool {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/proto");
    let set = protox::compile(["bench.proto"], [root]).expect("a contract");
    DescriptorPool::from_file_descriptor_set(set).expect("descriptors")
}

//! The contract that is measured with, and what its service answers.

use std::path::Path;

use anyhow::Context as _;
use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::{Value, json};

/// Messages of the stream.
pub(crate) const TICKS: u64 = 100_000;
/// Items of the small answer: about 1 KiB of JSON.
const SHELF_ITEMS: u64 = 6;
/// Items of the large answer: about 1 MiB of JSON.
const ARCHIVE_ITEMS: u64 = 6_100;

/// Descriptors of the contract with all that it imports.
pub(crate) struct Contract {
    pool: DescriptorPool,
    encoded: Vec<u8>,
}

impl Contract {
    /// Compiles the contract. The process must run in the root of the source tree.
    pub(crate) fn compile() -> anyhow::Result<Self> {
        let mut compiler = protox::Compiler::new(["gateway/bench/proto", "proto"])?;
        compiler.include_imports(true);
        compiler.open_file("bench/v1/bench.proto")?;
        Ok(Self {
            pool: compiler.descriptor_pool(),
            encoded: compiler.encode_file_descriptor_set(),
        })
    }

    /// Writes a descriptor set for proxies.
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        std::fs::write(path, &self.encoded).with_context(|| path.display().to_string())
    }

    fn message(&self, name: &str, json: Value) -> anyhow::Result<Vec<u8>> {
        let descriptor = self.pool.get_message_by_name(name).context("no message")?;
        Ok(DynamicMessage::deserialize(descriptor, json)?.encode_to_vec())
    }

    /// The answer of each rpc, by its path, in gRPC frames.
    pub(crate) fn answers(&self) -> anyhow::Result<Answers> {
        let shelf = self.message("bench.v1.Shelf", shelf(SHELF_ITEMS))?;
        let archive = self.message("bench.v1.Shelf", shelf_of("archive", ARCHIVE_ITEMS))?;
        let receipt = self.message("bench.v1.Receipt", receipt())?;
        let tick = self.message("bench.v1.Tick", json!({"number": "123456", "text": "tick"}))?;
        Ok(Answers {
            shelf: framed(&shelf),
            archive: framed(&archive),
            receipt: framed(&receipt),
            tick: framed(&tick),
        })
    }
}

/// Answers in gRPC frames.
pub(crate) struct Answers {
    pub(crate) shelf: Bytes,
    pub(crate) archive: Bytes,
    pub(crate) receipt: Bytes,
    pub(crate) tick: Bytes,
}

/// The small answer as JSON: what the forwarding proxy answers, to write as many bytes as others.
pub(crate) fn shelf_json() -> Bytes {
    shelf(SHELF_ITEMS).to_string().into()
}

/// The answer to the small write as JSON.
pub(crate) fn receipt_json() -> Bytes {
    receipt().to_string().into()
}

fn receipt() -> Value {
    json!({
        "orderId": "0199aa00-0000-7000-8000-0123456789ab",
        "status": "PENDING",
        "total": {"currencyCode": "EUR", "minorUnits": "4500"},
    })
}

/// The body of the small write.
pub(crate) fn order_json() -> Bytes {
    let line = |number: u64| {
        json!({
            "sku": format!("sku-{number:06}"),
            "quantity": number,
            "unitPrice": {"currencyCode": "EUR", "minorUnits": (450 * number).to_string()},
        })
    };
    let order = json!({
        "orderId": "0199aa00-0000-7000-8000-0123456789ab",
        "customer": "0199aa00-0000-7000-8000-ba9876543210",
        "lines": (1..=4).map(line).collect::<Vec<_>>(),
        "address": {
            "name": "Ada Lovelace",
            "street": "12 St James's Square",
            "city": "London",
            "postalCode": "SW1Y 4JH",
            "country": "GB",
        },
        "note": "Please leave it with the neighbour on the left if nobody answers the door.",
    });
    order.to_string().into()
}

fn shelf(items: u64) -> Value {
    shelf_of("tea", items)
}

fn shelf_of(name: &str, items: u64) -> Value {
    let item = |number: u64| {
        json!({
            "sku": format!("sku-{number:06}"),
            "name": format!("Darjeeling First Flush {number}"),
            "price": {"currencyCode": "EUR", "minorUnits": (1_250 + number).to_string()},
            "stock": 40 + number % 50,
            "available": true,
            "rating": 4.5,
            "tags": ["black", "organic"],
        })
    };
    json!({"shelf": name, "items": (1..=items).map(item).collect::<Vec<_>>()})
}

fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(5 + message.len());
    frame.put_u8(0);
    frame.put_u32(message.len() as u32);
    frame.put_slice(message);
    frame.freeze()
}

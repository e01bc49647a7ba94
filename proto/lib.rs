//! The contract of the mesh as Rust: messages, clients and servers, one module a package
//! (`contracts::caravan::ordering::v1`), the descriptors they were made from, and what the
//! options in them say ([`policy`]).

use std::sync::LazyLock;

use prost_reflect::DescriptorPool;

pub mod policy;

/// The encoded `google.protobuf.FileDescriptorSet` of every contract file and all that they import, with their comments.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/documented.binpb"));

/// The descriptors of every contract file, options included. Without comments, which would take more memory than all the rest.
pub static DESCRIPTOR_POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let set = include_bytes!(concat!(env!("OUT_DIR"), "/contracts.binpb"));
    DescriptorPool::decode(&set[..]).expect("the build made this descriptor set")
});

#[allow(missing_docs, unreachable_pub, clippy::all, rustdoc::all)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/contracts.rs"));
}

pub use generated::*;

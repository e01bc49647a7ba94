//! Where contracts come from.

use std::collections::HashMap;

use http::Uri;
use prost_reflect::DescriptorPool;

/// A contract as it was read.
#[derive(Clone, Debug)]
pub struct Contract {
    /// Its descriptors.
    pub pool: DescriptorPool,
    /// Services whose contract came from an upstream, and where that is.
    pub homes: HashMap<String, Uri>,
}

impl Contract {
    /// The contract that the gateway was built with.
    pub fn built_in() -> Self {
        Self {
            pool: contracts::DESCRIPTOR_POOL.clone(),
            homes: HashMap::new(),
        }
    }
}

//! Domain events as the contract's messages.

use contracts::caravan::catalog::v1 as pb;

use crate::{
    domain::product::{Created, Retired, Updated},
    rpc::convert::money,
};

impl From<&Created> for pb::ProductCreated {
    fn from(Created(product): &Created) -> Self {
        let parts = product.parts();
        Self {
            product_id: parts.id.to_string(),
            sku: parts.sku.clone(),
            name: parts.name.clone(),
            price: Some(money(&parts.price)),
        }
    }
}

impl From<&Updated> for pb::ProductUpdated {
    fn from(Updated(product): &Updated) -> Self {
        let parts = product.parts();
        Self {
            product_id: parts.id.to_string(),
            sku: parts.sku.clone(),
            name: parts.name.clone(),
            price: Some(money(&parts.price)),
        }
    }
}

impl From<&Retired> for pb::ProductRetired {
    fn from(Retired(product): &Retired) -> Self {
        let parts = product.parts();
        Self {
            product_id: parts.id.to_string(),
            sku: parts.sku.clone(),
        }
    }
}

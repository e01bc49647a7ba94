//! Between the contract's messages and the domain.

use contracts::caravan::{
    catalog::v1::{self as pb, ProductState},
    common::v1 as common,
};
use uuid::Uuid;

use crate::{
    domain::{
        money::Money,
        product::{Product, State},
    },
    error::Error,
};

/// An amount as the contract says it.
pub(crate) fn money(money: &Money) -> common::Money {
    common::Money {
        currency_code: money.currency_code().to_owned(),
        minor_units: money.minor_units(),
    }
}

/// A product as the contract says it.
pub(super) fn product(product: &Product) -> pb::Product {
    let parts = product.parts();
    pb::Product {
        product_id: parts.id.to_string(),
        sku: parts.sku.clone(),
        name: parts.name.clone(),
        description: parts.description.clone(),
        price: Some(money(&parts.price)),
        state: match parts.state {
            State::OnSale => ProductState::OnSale,
            State::Retired => ProductState::Retired,
        }
        .into(),
        create_time: Some(chassis::clock::timestamp(parts.created)),
        update_time: Some(chassis::clock::timestamp(parts.updated)),
    }
}

/// A product's id; `field` names it where it is none.
pub(super) fn product_id(text: &str, field: &str) -> Result<Uuid, Error> {
    text.parse()
        .map_err(|_| Error::invalid(field, "must be a UUID"))
}

//! Adds a product; its sku must be new.

use chassis::{Call, outbox};
use contracts::caravan::catalog::v1 as pb;
use uuid::Uuid;

use super::{Rpc, convert};
use crate::{
    domain::{
        money::Money,
        product::{Created, Draft, Product},
    },
    error::Error,
    store,
};

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    request: pb::CreateProductRequest,
) -> Result<pb::CreateProductResponse, Error> {
    let created = &Product::create(Uuid::now_v7(), draft(&request)?, chassis::clock::now())
        .map_err(|error| Error::rule("", error))?;
    chassis::audit::target(created.0.parts().id);
    rpc.db
        .once(&call, &request, |tx| async move {
            let Created(product) = created;
            if !store::products::insert(&tx, product).await? {
                return Err(Error::SkuTaken(product.parts().sku.clone()));
            }
            outbox::append(&tx, &pb::ProductCreated::from(created)).await?;
            Ok(pb::CreateProductResponse {
                product: Some(convert::product(product)),
            })
        })
        .await
}

fn draft(request: &pb::CreateProductRequest) -> Result<Draft, Error> {
    let price = request.price.clone().unwrap_or_default();
    Ok(Draft {
        sku: request.sku.clone(),
        name: request.name.clone(),
        description: request.description.clone(),
        price: Money::new(price.currency_code, price.minor_units).ok_or_else(|| {
            Error::invalid(
                "price.currencyCode",
                "must be three capital letters, e.g. EUR",
            )
        })?,
    })
}

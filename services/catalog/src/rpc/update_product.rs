//! Changes the fields of a product that the mask names.

use chassis::{Call, outbox};
use contracts::caravan::catalog::v1 as pb;

use super::{Rpc, convert, update_mask};
use crate::{error::Error, store};

pub(super) async fn handle(
    rpc: &Rpc,
    _call: Call,
    request: pb::UpdateProductRequest,
) -> Result<pb::UpdateProductResponse, Error> {
    let wanted = request.product.unwrap_or_default();
    let id = convert::product_id(&wanted.product_id, "product.productId")?;
    let change = &update_mask::change(wanted, request.update_mask)?;
    let product = rpc
        .db
        .write(|tx| async move {
            let mut product = store::products::find(&tx, id)
                .await?
                .ok_or(Error::NotFound(id))?;
            let updated = product
                .update(change.clone(), chassis::clock::now())
                .map_err(|error| Error::rule("product", error))?;
            if let Some(updated) = updated {
                store::products::save(&tx, &product).await?;
                outbox::append(&tx, &pb::ProductUpdated::from(&updated)).await?;
            }
            Ok::<_, Error>(product)
        })
        .await?;
    Ok(pb::UpdateProductResponse {
        product: Some(convert::product(&product)),
    })
}

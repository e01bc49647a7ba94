//! Takes a product off sale for good.

use chassis::{Call, outbox};
use contracts::caravan::catalog::v1 as pb;

use super::{Rpc, convert};
use crate::{error::Error, store};

pub(super) async fn handle(
    rpc: &Rpc,
    _call: Call,
    request: pb::RetireProductRequest,
) -> Result<pb::RetireProductResponse, Error> {
    let id = convert::product_id(&request.product_id, "productId")?;
    let product = rpc
        .db
        .write(|tx| async move {
            let mut product = store::products::find(&tx, id)
                .await?
                .ok_or(Error::NotFound(id))?;
            if let Some(retired) = product.retire(chassis::clock::now()) {
                store::products::save(&tx, &product).await?;
                outbox::append(&tx, &pb::ProductRetired::from(&retired)).await?;
            }
            Ok::<_, Error>(product)
        })
        .await?;
    Ok(pb::RetireProductResponse {
        product: Some(convert::product(&product)),
    })
}

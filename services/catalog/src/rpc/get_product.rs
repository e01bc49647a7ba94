//! One product, also a retired one.

use chassis::Call;
use contracts::caravan::catalog::v1 as pb;

use super::{Rpc, convert};
use crate::{error::Error, store};

pub(super) async fn handle(
    rpc: &Rpc,
    _call: Call,
    request: pb::GetProductRequest,
) -> Result<pb::GetProductResponse, Error> {
    let id = convert::product_id(&request.product_id, "productId")?;
    let product = store::products::find(rpc.db.read(), id)
        .await?
        .ok_or(Error::NotFound(id))?;
    Ok(pb::GetProductResponse {
        product: Some(convert::product(&product)),
    })
}

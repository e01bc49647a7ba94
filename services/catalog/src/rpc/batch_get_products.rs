//! The products on sale with these skus; unknown and retired ones are left out.

use chassis::Call;
use contracts::caravan::catalog::v1 as pb;

use super::{Rpc, convert};
use crate::{error::Error, store};

pub(super) async fn handle(
    rpc: &Rpc,
    _call: Call,
    request: pb::BatchGetProductsRequest,
) -> Result<pb::BatchGetProductsResponse, Error> {
    let products = store::products::on_sale_with_skus(rpc.db.read(), &request.skus).await?;
    Ok(pb::BatchGetProductsResponse {
        products: products.iter().map(convert::product).collect(),
    })
}

//! The products on sale, a page at a time, newest last.

use chassis::{Call, page::Page};
use contracts::caravan::catalog::v1 as pb;

use super::{Rpc, convert};
use crate::{error::Error, store};

pub(super) async fn handle(
    rpc: &Rpc,
    _call: Call,
    request: pb::ListProductsRequest,
) -> Result<pb::ListProductsResponse, Error> {
    let page = Page::of(request.page_size, &request.page_token).map_err(Error::Invalid)?;
    let mut products =
        store::products::on_sale_after(rpc.db.read(), page.after, page.limit()).await?;
    let next_page_token = page.cut(&mut products, |product| product.parts().id);
    Ok(pb::ListProductsResponse {
        products: products.iter().map(convert::product).collect(),
        next_page_token,
    })
}

//! Sagas by definition, state and key.

use chassis::{Call, page::Page};
use contracts::caravan::saga::v1 as pb;

use super::{Rpc, convert};
use crate::{
    error::Error,
    store::sagas::{self, Filter},
};

pub(super) async fn handle(
    rpc: &Rpc,
    _call: Call,
    request: pb::ListSagasRequest,
) -> Result<pb::ListSagasResponse, Error> {
    let page = Page::of(request.page_size, &request.page_token).map_err(Error::Invalid)?;
    let filter = Filter {
        state: convert::state(request.state()),
        definition: Some(request.definition).filter(|name| !name.is_empty()),
        key: Some(request.key).filter(|key| !key.is_empty()),
        before: page.after,
    };
    let mut rows = sagas::list(rpc.engine.db().read(), &filter, page.limit()).await?;
    let next_page_token = page.cut(&mut rows, |row| row.id);
    Ok(pb::ListSagasResponse {
        sagas: rows.iter().map(convert::saga).collect(),
        next_page_token,
    })
}

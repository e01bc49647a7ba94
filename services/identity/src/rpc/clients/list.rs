//! A page of clients, oldest first.

use chassis::{Call, page::Page};
use contracts::caravan::identity::v1 as pb;

use super::{Clients, message};
use crate::{error::Error, store};

pub(super) async fn handle(
    rpc: &Clients,
    _call: Call,
    request: pb::ListClientsRequest,
) -> Result<pb::ListClientsResponse, Error> {
    let page = Page::of(request.page_size, &request.page_token).map_err(Error::Invalid)?;
    let mut clients = store::clients::list(rpc.db.read(), &page).await?;
    let next_page_token = page.cut(&mut clients, |client| client.id);
    Ok(pb::ListClientsResponse {
        clients: clients.into_iter().map(message).collect(),
        next_page_token,
    })
}

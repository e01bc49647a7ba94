//! A request on its way, as every step of the pipeline sees it.

use std::{net::IpAddr, sync::Arc};

use http::request::Parts;

use crate::{api::Api, gateway::Gateway};

/// A request without its body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exchange<'r> {
    pub(crate) gateway: &'r Arc<Gateway>,
    /// The contract that the request began with.
    pub(crate) api: &'r Arc<Api>,
    /// Who sent it, as far as proxies in front are trusted to say so.
    pub(crate) client: IpAddr,
    pub(crate) request_id: &'r str,
    pub(crate) head: &'r Parts,
}

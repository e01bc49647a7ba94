//! A request on its way, as every step of the pipeline sees it.

use std::{net::IpAddr, sync::Arc};

use http::{HeaderMap, request::Parts};

use crate::{
    api::{Api, Method},
    gateway::Gateway,
    headers::{self, Times},
    policy::Admitted,
    problem::Problem,
    trace::Trace,
    upstream::{Chosen, Way},
};

/// A request without its body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exchange<'r> {
    pub(crate) gateway: &'r Arc<Gateway>,
    /// The contract that the request began with.
    pub(crate) api: &'r Arc<Api>,
    /// Who sent it, as far as proxies in front are trusted to say so.
    pub(crate) client: IpAddr,
    /// Whose connection it came over.
    pub(crate) peer: IpAddr,
    pub(crate) trace: &'r Trace,
    pub(crate) request_id: &'r str,
    pub(crate) head: &'r Parts,
    /// Where it goes, where several upstreams share its requests.
    pub(crate) chosen: Option<&'r Chosen>,
}

impl<'r> Exchange<'r> {
    /// The same, once it is known where it goes.
    pub(crate) fn sent_where<'s>(self, admitted: &'s Option<Admitted<'_>>) -> Exchange<'s>
    where
        'r: 's,
    {
        let chosen = admitted.as_ref();
        let chosen = chosen.and_then(|admitted| admitted.chosen.as_ref());
        Exchange { chosen, ..self }
    }

    /// Where the call goes.
    pub(crate) fn upstream(&self, method: &'r Method) -> Result<Way<'r>, Problem> {
        match self.chosen {
            Some(chosen) => Ok(Way::Shared(chosen)),
            None => method.upstream().map(Way::Only),
        }
    }
}

impl Exchange<'_> {
    /// The metadata of a call for this request: only what is known to be harmless.
    pub(crate) fn metadata(&self, times: Times) -> HeaderMap {
        self.own_metadata(HeaderMap::with_capacity(12), times)
    }

    /// The same for a call that is passed through: with the client's own metadata, as far as that is the client's to say.
    pub(crate) fn passed_metadata(&self, times: Times) -> HeaderMap {
        self.own_metadata(headers::passed(&self.head.headers), times)
    }

    fn own_metadata(&self, mut metadata: HeaderMap, times: Times) -> HeaderMap {
        headers::metadata(
            &self.head.headers,
            (self.client, self.trace),
            times,
            &mut metadata,
        );
        metadata
    }
}

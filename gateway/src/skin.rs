//! What the gateway does around a call, without the call: what the benchmarks measure by itself.

use std::{net::IpAddr, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, request::Parts};

use crate::{
    answer::{self, Answer},
    exchange::Exchange,
    gateway::Gateway,
    headers::Times,
    pipeline,
    problem::Problem,
    router::{self, Target},
    trace::Trace,
};

/// Finds the route of a request, lets it in, and makes the metadata of its call and the headers of an empty answer.
///
/// # Errors
/// There is no such route, or its policies refuse the request.
pub async fn around_a_call(
    gateway: &Arc<Gateway>,
    peer: IpAddr,
    head: &Parts,
) -> Result<(HeaderMap, Answer), Problem> {
    let api = gateway.api();
    let target = router::find(&api, &gateway.policies, head);
    let trace = Trace::begin(&head.headers, target.label(), gateway.is_traced);
    let Target::Rest(found) = target else {
        return Err(router::no_rpc());
    };
    let exchange = Exchange {
        gateway,
        api: &api,
        client: gateway.policies.client(peer, &head.headers),
        trace: &trace,
        request_id: trace.id(),
        head,
        peer,
        chosen: None,
    };
    let policies = &gateway.policies;
    let mut admitted = None;
    let rules = api.rules_of(&found);
    policies
        .admit(&exchange, rules, &head.headers, &mut admitted)
        .await?;
    let method = api.method_of(found.binding());
    let times = Times::of(&head.headers, method.policy.deadline);
    let metadata = exchange.metadata(times.map_err(Problem::malformed_header)?);
    let mut answer = answer::json(StatusCode::OK, Bytes::new());
    policies.finish(&exchange, admitted.as_ref(), &mut answer);
    pipeline::finish(&exchange, answer.headers_mut());
    Ok((metadata, answer))
}

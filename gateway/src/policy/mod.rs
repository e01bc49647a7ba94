//! What the contract and the operator say about who may call, how often, and what is kept: the steps of
//! [`crate::pipeline`] that may end a request before its upstream hears of it, and those that finish its answer.
//!
//! [`Rules`] belong to one rpc and are compiled with the contract; [`Policies`] hold what outlives a contract
//! (keys, buckets, kept answers).

use prost_reflect::MethodDescriptor;

use crate::{answer::Answer, api::Method, exchange::Exchange, problem::Problem};
use contracts::policy::MethodPolicy;

/// What outlives a contract.
#[derive(Debug, Default)]
pub struct Policies {}

/// What holds for one rpc.
#[derive(Debug)]
pub struct Rules {}

/// What admission found out about a request.
#[derive(Debug, Default)]
pub(crate) struct Admitted {}

impl Policies {
    /// The rules of one rpc.
    ///
    /// # Errors
    /// An option of the contract that is wrong.
    pub(crate) fn rules(
        &self,
        _method: &MethodDescriptor,
        _policy: &MethodPolicy,
    ) -> anyhow::Result<Rules> {
        Ok(Rules {})
    }

    /// The answer to a CORS preflight; `None` for any other request.
    pub(crate) fn preflight(&self, _exchange: &Exchange<'_>) -> Option<Answer> {
        None
    }

    /// Access and rate.
    pub(crate) async fn admit(
        &self,
        _exchange: &Exchange<'_>,
        _method: &Method,
    ) -> Result<Admitted, Problem> {
        Ok(Admitted::default())
    }

    /// The answer of `fetch`, or one that was kept from an earlier one.
    pub(crate) async fn kept(
        &self,
        _exchange: &Exchange<'_>,
        _method: &Method,
        _admitted: &Admitted,
        fetch: impl Future<Output = Result<Answer, Problem>>,
    ) -> Result<Answer, Problem> {
        fetch.await
    }

    /// Headers and encoding of an answer, failures included. `admitted` is `None` where the request did not come so far.
    pub(crate) fn finish(
        &self,
        _exchange: &Exchange<'_>,
        _admitted: Option<&Admitted>,
        answer: Answer,
    ) -> Answer {
        answer
    }
}

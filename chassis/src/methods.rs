//! What the chassis must know of each rpc of the contract: policy and whether it streams.

use std::{collections::HashMap, sync::LazyLock, time::Duration};

use anyhow::{Context as _, bail};
use contracts::{
    DESCRIPTOR_POOL,
    policy::{self, MethodPolicy},
};

/// Time that a unary call may take where neither the caller nor the contract says.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(30);

/// One rpc of the contract.
#[derive(Debug)]
pub(crate) struct Method {
    /// `/package.Service/Method`
    pub(crate) path: &'static str,
    /// What the contract says of it.
    pub(crate) policy: &'static MethodPolicy,
    /// Whether either side streams.
    pub(crate) streams: bool,
}

impl Method {
    /// Time it may take where the caller names none; a stream may stay open.
    pub(crate) fn default_deadline(&self) -> Option<Duration> {
        match self.policy.deadline {
            Some(deadline) => Some(deadline),
            None if self.streams => None,
            None => Some(DEFAULT_DEADLINE),
        }
    }
}

/// The rpc at a path; `None` for health, reflection and whatever nobody knows.
pub(crate) fn get(path: &str) -> Option<&'static Method> {
    METHODS.get(path)
}

/// Every rpc of the contract.
pub(crate) fn all() -> impl Iterator<Item = &'static Method> {
    METHODS.values()
}

static METHODS: LazyLock<HashMap<&'static str, Method>> = LazyLock::new(|| {
    DESCRIPTOR_POOL
        .services()
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .filter_map(|method| {
            let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
            let policy = policy::method(&path)?;
            // Once per rpc of the contract, for the life of the process.
            let path: &'static str = path.leak();
            let streams = method.is_client_streaming() || method.is_server_streaming();
            Some((
                path,
                Method {
                    path,
                    policy,
                    streams,
                },
            ))
        })
        .collect()
});

/// Refuses a service that the contract does not describe, or of which an rpc does not say who may call it.
///
/// # Errors
/// Names the service or the rpc.
pub(crate) fn check_access_is_declared(service: &str) -> anyhow::Result<()> {
    let descriptor = DESCRIPTOR_POOL
        .get_service_by_name(service)
        .with_context(|| format!("{service} is not in the contract"))?;
    for method in descriptor.methods() {
        if policy::of_method(&method).access.is_none() {
            bail!(
                "{service}.{} does not say who may call it: add the option caravan.options.v1.access",
                method.name()
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_has_no_default_deadline() {
        let unary = get("/caravan.identity.v1.IdentityService/GetKeySet").expect("in the contract");
        assert!(unary.default_deadline().is_some() && !unary.streams);
        let watch =
            get("/caravan.ordering.v1.OrderingService/WatchOrder").expect("in the contract");
        assert!(watch.streams);
        assert!(get("/grpc.health.v1.Health/Check").is_none());
    }

    #[test]
    fn an_unknown_service_does_not_boot() {
        assert!(check_access_is_declared("caravan.identity.v1.IdentityService").is_ok());
        let error = check_access_is_declared("shop.v1.Shop").unwrap_err();
        assert_eq!(error.to_string(), "shop.v1.Shop is not in the contract");
    }
}

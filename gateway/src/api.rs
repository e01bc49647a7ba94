//! What the contract offers over REST, compiled once: routes, policies, Location headers, upstreams.

use std::sync::{Arc, OnceLock};

use anyhow::Context as _;
use bytes::Bytes;
use chassis::config::Upstreams;
use contracts::policy::{self, MethodPolicy};
use http::{StatusCode, uri::PathAndQuery};
use prost_reflect::{DescriptorPool, MethodDescriptor};
use transcode::TextTemplate;

use crate::{
    openapi,
    policy::{Policies, Rules},
    upstream::Upstream,
};

/// Everything that requests need of one set of descriptors.
#[derive(Debug)]
pub struct Api {
    rest: transcode::Api,
    methods: Vec<Method>,
    pool: DescriptorPool,
    /// Made when it is first asked for.
    openapi: OnceLock<Bytes>,
}

/// What the gateway knows of an rpc beyond its messages.
#[derive(Debug)]
pub struct Method {
    /// `/package.Service/Method`
    pub path: PathAndQuery,
    /// What the contract's options say.
    pub policy: MethodPolicy,
    /// What the gateway does about them, and what its operator says.
    pub rules: Rules,
    /// Status of a success.
    pub success: StatusCode,
    /// Makes the Location header from the reply.
    pub location: Option<TextTemplate>,
    /// Where the rpc is served; `None` where no upstream is configured for its service.
    pub upstream: Option<Arc<Upstream>>,
    /// Whether the rpc answers with a stream.
    pub server_streaming: bool,
    /// Whether the rpc is called with a stream.
    pub client_streaming: bool,
}

impl Api {
    /// Compiles the routes of `pool` and finds each service's upstream by its logical name.
    ///
    /// # Errors
    /// A rule or option of the contract that is wrong, with the method's name.
    pub fn compile(
        pool: &DescriptorPool,
        upstreams: &Upstreams,
        policies: &Policies,
    ) -> anyhow::Result<Self> {
        let rest = transcode::Api::compile(pool)?;
        let connected: Vec<_> = upstreams
            .iter()
            .map(|(name, uri)| (name, Arc::new(Upstream::new(name, uri.clone()))))
            .collect();
        let methods = rest.methods().iter().map(|method| {
            let descriptor = &method.descriptor;
            let name = logical_name(descriptor);
            let upstream = connected.iter().find(|(logical, _)| *logical == name);
            Self::method(
                &rest,
                method,
                upstream.map(|(_, upstream)| upstream.clone()),
                policies,
            )
            .with_context(|| descriptor.full_name().to_owned())
        });
        let methods = methods.collect::<anyhow::Result<_>>()?;
        Ok(Self {
            rest,
            methods,
            pool: pool.clone(),
            openapi: OnceLock::new(),
        })
    }

    fn method(
        rest: &transcode::Api,
        method: &transcode::Method,
        upstream: Option<Arc<Upstream>>,
        policies: &Policies,
    ) -> anyhow::Result<Method> {
        let policy = policy::of_method(&method.descriptor);
        let success = match policy.rest.success_status {
            0 => StatusCode::OK,
            status => u16::try_from(status)
                .ok()
                .and_then(|status| StatusCode::from_u16(status).ok())
                .filter(StatusCode::is_success)
                .with_context(|| format!("success_status: {status} is no success"))?,
        };
        let location = match policy.rest.location.as_str() {
            "" => None,
            template => Some(TextTemplate::compile(
                rest.schema(),
                method.response,
                template,
            )?),
        };
        Ok(Method {
            path: method.path.parse()?,
            rules: policies.rules(&method.descriptor, &policy)?,
            policy,
            success,
            location,
            upstream,
            server_streaming: method.descriptor.is_server_streaming(),
            client_streaming: method.descriptor.is_client_streaming(),
        })
    }

    /// Routes and messages.
    pub fn rest(&self) -> &transcode::Api {
        &self.rest
    }

    /// The rpc of a route.
    pub fn method_of(&self, binding: &transcode::Binding) -> &Method {
        &self.methods[binding.method_index()]
    }

    /// The OpenAPI document of these routes.
    pub fn openapi(&self) -> Bytes {
        let document = || Bytes::from(openapi::document(&self.pool, &self.rest).to_string());
        self.openapi.get_or_init(document).clone()
    }
}

/// `<service>` of package `caravan.<service>.v1`: the last part of the package that is no version.
fn logical_name(method: &MethodDescriptor) -> &str {
    let package = method.parent_service().package_name();
    let is_version = |part: &str| {
        let digits = part.strip_prefix('v').unwrap_or_default();
        digits.starts_with(|c: char| c.is_ascii_digit())
    };
    package
        .rsplit('.')
        .find(|part| !is_version(part))
        .unwrap_or_default()
}

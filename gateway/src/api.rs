//! What the contract offers over REST, compiled once: routes, policies, Location headers, upstreams.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use anyhow::Context as _;
use contracts::{
    caravan::options::v1::{HeaderField, Idempotency},
    policy::{self, MethodPolicy},
};
use http::{StatusCode, uri::PathAndQuery};
use prost_reflect::{DescriptorPool, MethodDescriptor};
use transcode::TextTemplate;

use crate::{
    metrics::Usual,
    page::Document,
    policy::{Policies, Rules, Subject},
    problem::Problem,
    source::{Contract, DefaultAccess},
    status::Status,
    upstream::{Directory, Upstream},
};

/// Everything that requests need of one set of descriptors.
#[derive(Debug)]
pub struct Api {
    rest: transcode::Api,
    methods: Vec<Method>,
    /// Indices of methods by their own paths.
    paths: HashMap<Box<str>, usize>,
    /// Rules of routes that the operator speaks of alone, by the index of the route.
    routes: Vec<Option<Rules>>,
    /// What each route usually answers, by its index.
    usual: Vec<Usual>,
    pool: DescriptorPool,
    /// Made when it is first asked for.
    openapi: OnceLock<Document>,
    /// As `openapi`.
    docs: OnceLock<Document>,
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
    /// Whether the contract says that a call made twice does no more than one made once.
    pub idempotent: bool,
    /// Whether the rpc answers with a stream.
    pub server_streaming: bool,
    /// Whether the rpc is called with a stream.
    pub client_streaming: bool,
}

impl Api {
    /// Compiles the routes of a contract and finds each service's upstream.
    ///
    /// # Errors
    /// A rule or option of the contract that is wrong, with the method's name.
    pub fn compile(
        contract: &Contract,
        upstreams: &Directory,
        policies: &Policies,
    ) -> anyhow::Result<Self> {
        let rest = transcode::Api::compile_with(&contract.pool, header_fields)?;
        let methods = rest.methods().iter().map(|method| {
            let descriptor = &method.descriptor;
            let service = descriptor.parent_service();
            let home = contract.homes.get(service.full_name());
            let upstream = upstreams.find(service, home);
            Self::method(&rest, method, upstream, (policies, contract.default_access))
                .with_context(|| descriptor.full_name().to_owned())
        });
        let methods = methods.collect::<anyhow::Result<Vec<_>>>()?;
        let routes = rest.bindings().iter();
        let routes = routes.map(|binding| {
            let method = &methods[binding.method_index()];
            let route = (binding.verb(), binding.template());
            policies.route_rules(method.subject(&rest, Some(route)))
        });
        let usual = rest.bindings().iter().map(|binding| {
            let method = &methods[binding.method_index()];
            Usual::new(binding.verb(), method.success)
        });
        Ok(Self {
            usual: usual.collect(),
            routes: routes.collect(),
            paths: rest
                .methods()
                .iter()
                .enumerate()
                .map(|(index, method)| (method.path.clone(), index))
                .collect(),
            rest,
            methods,
            pool: contract.pool.clone(),
            openapi: OnceLock::new(),
            docs: OnceLock::new(),
        })
    }

    fn method(
        rest: &transcode::Api,
        method: &transcode::Method,
        upstream: Option<Arc<Upstream>>,
        (policies, default_access): (&Policies, DefaultAccess),
    ) -> anyhow::Result<Method> {
        let mut policy = policy::of_method(&method.descriptor);
        policy.access.get_or_insert_with(|| default_access.access());
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
        let subject = Subject {
            path: &method.path,
            route: None,
            policy: &policy,
            reads: reads(rest, &method.path),
            unary: is_unary(&method.descriptor),
        };
        Ok(Method {
            path: method.path.parse()?,
            rules: policies.rules(subject),
            policy,
            success,
            location,
            upstream,
            idempotent: is_idempotent(&method.descriptor),
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

    /// The rpc that is called by its own path, `/package.Service/Method`.
    pub fn method_at(&self, path: &str) -> Option<&Method> {
        Some(&self.methods[*self.paths.get(path)?])
    }

    /// What holds for a route.
    pub(crate) fn rules_of(&self, found: &transcode::Found<'_, '_>) -> &Rules {
        let own = self.routes[found.binding_index()].as_ref();
        own.unwrap_or_else(|| &self.method_of(found.binding()).rules)
    }

    /// What a route usually answers.
    pub(crate) fn usual_of(&self, found: &transcode::Found<'_, '_>) -> &Usual {
        &self.usual[found.binding_index()]
    }

    /// Every rpc and every route, as policies see them.
    pub(crate) fn subjects(&self) -> impl Iterator<Item = Subject<'_>> {
        let rpcs = self
            .methods
            .iter()
            .map(|method| method.subject(&self.rest, None));
        let routes = self.rest.bindings().iter().map(|binding| {
            let route = (binding.verb(), binding.template());
            self.method_of(binding).subject(&self.rest, Some(route))
        });
        rpcs.chain(routes)
    }

    /// Every rpc, in the order of [`transcode::Api::methods`].
    pub fn methods(&self) -> &[Method] {
        &self.methods
    }

    /// The OpenAPI document of these routes.
    pub(crate) fn openapi(&self) -> &Document {
        self.openapi.get_or_init(|| {
            let document = openapi::document(&self.pool, &self.rest);
            Document::new(document.to_string().into())
        })
    }

    /// The reference page of these routes.
    pub(crate) fn docs(&self) -> &Document {
        self.docs.get_or_init(|| {
            let document = openapi::document(&self.pool, &self.rest);
            Document::new(openapi::page(&document).into())
        })
    }
}

/// Headers that the contract lets fill fields of the request.
fn header_fields(method: &MethodDescriptor) -> Vec<transcode::HeaderField> {
    let fields = policy::of_method(method).rest.header_fields;
    let field = |of: HeaderField| transcode::HeaderField {
        header: of.header,
        field: of.field,
    };
    fields.into_iter().map(field).collect()
}

/// Whether all routes of an rpc are GET.
fn reads(rest: &transcode::Api, path: &str) -> bool {
    let routes = rest.bindings().iter();
    let mut own = routes.filter(|binding| *rest.methods()[binding.method_index()].path == *path);
    let mut any = false;
    own.all(|binding| {
        any = true;
        binding.verb() == "GET"
    }) && any
}

fn is_unary(method: &MethodDescriptor) -> bool {
    !method.is_client_streaming() && !method.is_server_streaming()
}

impl Method {
    fn subject<'s>(
        &'s self,
        rest: &transcode::Api,
        route: Option<(&'s str, &'s str)>,
    ) -> Subject<'s> {
        Subject {
            path: self.path.as_str(),
            route,
            policy: &self.policy,
            reads: reads(rest, self.path.as_str()),
            unary: !self.client_streaming && !self.server_streaming,
        }
    }

    /// Where the rpc is served.
    pub(crate) fn upstream(&self) -> Result<&Upstream, Problem> {
        self.upstream.as_deref().ok_or_else(|| {
            tracing::warn!(rpc = self.path.as_str(), "no upstream is configured");
            Problem::of_status(&Status::unavailable())
        })
    }

    /// Whether a call may be made again where nobody knows whether the first one arrived: by what the contract says of
    /// the rpc, by the HTTP method, or because the service tells repetitions by their key.
    pub(crate) fn is_repeatable(&self, verb: &http::Method, has_key: bool) -> bool {
        let keyed = has_key && self.policy.idempotency != Idempotency::Unspecified;
        self.idempotent || verb.is_safe() || keyed
    }
}

/// The standard option `idempotency_level`: NO_SIDE_EFFECTS or IDEMPOTENT.
fn is_idempotent(method: &MethodDescriptor) -> bool {
    let options = method.options();
    let level = options.get_field_by_name("idempotency_level");
    level
        .and_then(|level| level.as_enum_number())
        .is_some_and(|level| level > 0)
}

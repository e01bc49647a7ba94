//! A service as its main lists it: gRPC servers, consumers, tasks and checks; and how it boots and goes.

mod drain;
mod tasks;

use std::{convert::Infallible, future::Future, net::SocketAddr};

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{body::Body, server::NamedService, service::Routes};
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::{
    auth::{KeySource, OutsideIssuer, RemoteKeys, Verifier, access::Access},
    events::Consumer,
    kit::Kit,
    methods, ops,
    outbox::Relay,
    projection::Projection,
    readiness::Readiness,
    server,
};
use tasks::{Task, task};

/// A generated gRPC server, e.g. `OrderingServiceServer<Rpc>`.
pub trait GrpcService:
    NamedService
    + tower::Service<
        http::Request<Body>,
        Response = http::Response<Body>,
        Error = Infallible,
        Future: Send + 'static,
    > + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> GrpcService for S where
    S: NamedService
        + tower::Service<
            http::Request<Body>,
            Response = http::Response<Body>,
            Error = Infallible,
            Future: Send + 'static,
        > + Clone
        + Send
        + Sync
        + 'static
{
}

/// A service that is being put together; [`Service::serve`] runs it.
#[must_use = "a service runs in `serve`"]
pub struct Service {
    kit: Kit,
    routes: Routes,
    names: Vec<&'static str>,
    /// What keeps the service from booting; told by [`Service::bind`], so that main stays one chain.
    fault: Option<anyhow::Error>,
    /// Where keys come from instead of identity.
    keys: Option<Box<dyn KeySource>>,
    readiness: Readiness,
    consumers: Vec<Consumer>,
    projections: Vec<Projection>,
    tasks: Vec<Task>,
}

impl Service {
    pub(crate) fn new(kit: Kit) -> Self {
        Self {
            kit,
            routes: Routes::default(),
            names: Vec::new(),
            fault: None,
            keys: None,
            readiness: Readiness::new(),
            consumers: Vec::new(),
            projections: Vec::new(),
            tasks: Vec::new(),
        }
    }

    /// Adds a gRPC server. The service does not boot unless the contract says of each rpc who may call it.
    pub fn grpc<S: GrpcService>(mut self, server: S) -> Self {
        if let Err(error) = methods::check_access_is_declared(S::NAME) {
            self.fault.get_or_insert(error);
        }
        self.names.push(S::NAME);
        self.routes = self.routes.add_service(server);
        self
    }

    /// Takes the keys that tokens are checked with from here instead of asking identity; for identity itself.
    pub fn keys(mut self, source: impl KeySource) -> Self {
        self.keys = Some(Box::new(source));
        self
    }

    /// Handles events. Needs a database.
    pub fn consume(mut self, consumer: Consumer) -> Self {
        self.consumers.push(consumer);
        self
    }

    /// Handles events of many kinds. Needs a database.
    pub fn consume_all(mut self, consumers: impl IntoIterator<Item = Consumer>) -> Self {
        self.consumers.extend(consumers);
        self
    }

    /// Keeps a read model. Needs a database.
    pub fn project(mut self, projection: Projection) -> Self {
        self.projections.push(projection);
        self
    }

    /// Runs background work beside the server. It ends soon after its token is cancelled, which is when no call runs any
    /// more. An error ends the service; `Ok` before that is fine too.
    pub fn task<F, Fut>(mut self, name: &str, work: F) -> Self
    where
        F: FnOnce(CancellationToken) -> Fut + Send + 'static,
        Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.tasks.push(task(name, work));
        self
    }

    /// Adds a check to readiness. Its error's text is shown to operators: no secrets.
    pub fn ready_when<F, Fut, E>(mut self, name: &str, check: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: ToString,
    {
        self.readiness = self.readiness.when(name, check);
        self
    }

    /// Serves until SIGTERM or SIGINT, then drains.
    ///
    /// # Errors
    /// The service could not boot, a task failed, or the drain took too long.
    pub async fn serve(self) -> anyhow::Result<()> {
        self.bind().await?.run().await
    }

    /// Takes the ports and prepares everything, without serving yet.
    ///
    /// # Errors
    /// A port is taken, the contract lacks an access rule, or an upstream that is needed is not configured.
    pub async fn bind(mut self) -> anyhow::Result<Bound> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        let operators = ops::server(self.kit.clone());
        self = self.grpc(operators);
        let verifier = self.verifier()?;
        self.add_background_work(&verifier).await?;
        let common = self.kit.common();
        let sidecar = common.transport.sidecar();
        let grpc = listen("GRPC_ADDR", common.grpc_addr).await?;
        let admin = listen("ADMIN_ADDR", common.admin_addr).await?;
        let health = HealthReporter::new();
        for name in self.names.iter().copied().chain([""]) {
            health
                .set_service_status(name, ServingStatus::NotServing)
                .await;
        }
        let health_service =
            tonic_health::server::HealthService::from_health_reporter(health.clone());
        let health_server = tonic_health::pb::health_server::HealthServer::new(health_service);
        let routes = server::add_reflection(self.routes.add_service(health_server), &self.names);
        Ok(Bound {
            kit: self.kit,
            grpc,
            admin,
            routes,
            access: Access { verifier, sidecar },
            health,
            names: self.names,
            readiness: self.readiness,
            tasks: self.tasks,
        })
    }

    /// What checks tokens: identity's, and those of outside issuers.
    fn verifier(&mut self) -> anyhow::Result<Verifier> {
        let common = self.kit.common();
        let own = &common.token_issuer;
        let outside = OutsideIssuer::read(common.outside_issuers_file.as_deref(), own)?;
        match self.keys.take() {
            Some(keys) => Verifier::with_outside(own, keys, outside),
            None => {
                let identity = self.kit.identity();
                let identity = identity.context("tokens are checked with identity's keys")?;
                Verifier::with_outside(own, RemoteKeys::new(identity), outside)
            }
        }
    }

    /// Relay, consumers, and the checks of what they and the handlers stand on.
    async fn add_background_work(&mut self, verifier: &Verifier) -> anyhow::Result<()> {
        let refreshed = verifier.clone();
        self.tasks.push(task("keys", |stop| async move {
            refreshed.keep_fresh(stop).await;
            Ok(())
        }));
        if let Some(tls) = self.kit.tls() {
            self.tasks.push(task("certificates", |stop| async move {
                tls.keep_fresh(stop).await;
                Ok(())
            }));
        }
        // Without keys every call with a token would be refused: not before the first answer of identity.
        let checked = verifier.clone();
        self.readiness = std::mem::take(&mut self.readiness).when("keys", move || {
            let has_keys = checked.has_keys();
            async move {
                has_keys
                    .then_some(())
                    .ok_or("identity has not given any yet")
            }
        });
        let database = self.kit.opened_database();
        if let Some(db) = database.clone() {
            let purged = db.clone();
            let events = self.kit.common().event_retention;
            self.tasks.push(task("retention", move |stop| async move {
                purged.keep_small(events, stop).await;
                Ok(())
            }));
            self.readiness = std::mem::take(&mut self.readiness).when("database", move || {
                let db = db.clone();
                // The cause may name hosts and files: not for everybody who can reach the admin port.
                async move { db.ping().await.map_err(|_| "does not answer") }
            });
        }
        let name = self.kit.name().to_owned();
        let publishes = contracts::policy::events().any(|(_, event)| event.is_published_by(&name));
        let consumes = !self.consumers.is_empty() || !self.projections.is_empty();
        if consumes || (publishes && database.is_some()) {
            let db = database.context("consumers need a database: call kit.database() first")?;
            let jetstream = async_nats::jetstream::new(self.kit.nats().await?);
            if publishes {
                let relay = Relay::new(db.clone(), jetstream.clone(), &name);
                self.tasks.push(task("relay", |stop| async move {
                    relay.run(stop).await;
                    Ok(())
                }));
            }
            for mut consumer in self.consumers.drain(..) {
                if let Some(archive) = ops::archive(&self.kit, consumer.publisher()) {
                    consumer = consumer.with_archive(archive);
                }
                let (db, jetstream, name) = (db.clone(), jetstream.clone(), name.clone());
                self.tasks.push(task("consumer", |stop| async move {
                    consumer.run(db, jetstream, &name, stop).await;
                    Ok(())
                }));
            }
        }
        self.add_projections().await?;
        if let Some(nats) = self.kit.opened_nats() {
            self.readiness = std::mem::take(&mut self.readiness).when("nats", move || {
                let connected = nats.connection_state() == async_nats::connection::State::Connected;
                async move { connected.then_some(()).ok_or("not connected") }
            });
        }
        Ok(())
    }
}

impl Service {
    async fn add_projections(&mut self) -> anyhow::Result<()> {
        for mut projection in self.projections.drain(..) {
            let db = self.kit.opened_database();
            let db = db.context("projections need a database: call kit.database() first")?;
            let jetstream = async_nats::jetstream::new(self.kit.nats().await?);
            if let Some(archive) = ops::archive(&self.kit, projection.publisher()) {
                projection = projection.with_archive(archive);
            }
            let name = self.kit.name().to_owned();
            self.tasks.push(task("projection", |stop| async move {
                projection.run(db, jetstream, &name, stop).await;
                Ok(())
            }));
        }
        Ok(())
    }
}

async fn listen(variable: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("{variable}: cannot listen on {address}"))
}

/// A service that has its ports; [`Bound::run`] serves.
pub struct Bound {
    kit: Kit,
    grpc: TcpListener,
    admin: TcpListener,
    routes: Routes,
    access: Access,
    health: HealthReporter,
    names: Vec<&'static str>,
    readiness: Readiness,
    tasks: Vec<Task>,
}

impl Bound {
    /// Where the gRPC server listens.
    ///
    /// # Errors
    /// The system does not say.
    pub fn grpc_addr(&self) -> std::io::Result<SocketAddr> {
        self.grpc.local_addr()
    }

    /// Where the admin server listens.
    ///
    /// # Errors
    /// The system does not say.
    pub fn admin_addr(&self) -> std::io::Result<SocketAddr> {
        self.admin.local_addr()
    }
}

#[cfg(test)]
mod tests;

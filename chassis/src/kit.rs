//! What a service's main is handed: database, broker and clients, ready to use.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use sea_orm_migration::MigratorTrait;
use secrecy::ExposeSecret as _;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use crate::{
    auth::service_token::ServiceToken,
    client::{Channel, Clients, UnknownUpstream},
    config::Common,
    db::Db,
    service::{GrpcService, Service},
    status,
    telemetry::Metrics,
    tls::Tls,
};

/// Logical name of the service that makes tokens.
const IDENTITY: &str = "identity";

/// Time between two signs of life that NATS is asked for; without an answer to two of them the connection counts as broken.
const NATS_PING_INTERVAL: Duration = Duration::from_secs(5);

/// A service's means. Cheap to clone.
#[derive(Clone)]
pub struct Kit {
    shared: Arc<Shared>,
}

struct Shared {
    name: String,
    common: Common,
    drain: CancellationToken,
    serving: AtomicBool,
    clients: Clients,
    token: Option<Arc<ServiceToken>>,
    tls: Option<Arc<Tls>>,
    database: OnceLock<Db>,
    nats: OnceCell<async_nats::Client>,
    metrics: Option<Metrics>,
}

impl Kit {
    /// The means of the service `name`. Must be called within a tokio runtime; [`crate::run`] does so.
    ///
    /// # Errors
    /// The client secret or a certificate cannot be read, or there is a secret but no upstream `identity`.
    pub fn new(name: &str, common: &Common, metrics: Option<Metrics>) -> anyhow::Result<Self> {
        status::set_domain(name);
        let transport = &common.transport;
        let tls = match transport.tls() {
            Some(files) => Some(Arc::new(Tls::load(files, transport.service_ids())?)),
            None => None,
        };
        let clients = Clients::new(common.upstreams.clone(), tls.clone());
        let token = match common.client_secret()? {
            Some(secret) => Some(Arc::new(ServiceToken::new(
                name,
                secret,
                clients.channel(IDENTITY, None)?,
            ))),
            None => None,
        };
        Ok(Self {
            shared: Arc::new(Shared {
                name: name.to_owned(),
                common: common.clone(),
                drain: CancellationToken::new(),
                serving: AtomicBool::new(false),
                clients,
                token,
                tls,
                database: OnceLock::new(),
                nats: OnceCell::new(),
                metrics,
            }),
        })
    }

    /// The service's logical name.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Cancelled when the service is told to go: what waits for something better may end now.
    pub fn drain(&self) -> CancellationToken {
        self.shared.drain.clone()
    }

    /// A channel to a service, calling with this service's token where it has a secret. Connects when it is first used.
    ///
    /// # Errors
    /// UPSTREAMS does not name the service.
    pub fn channel(&self, logical: &str) -> Result<Channel, UnknownUpstream> {
        self.shared
            .clients
            .channel(logical, self.shared.token.clone())
    }

    /// A channel to identity that sends no token, since tokens are what it is asked for.
    pub(crate) fn identity(&self) -> Result<Channel, UnknownUpstream> {
        self.shared.clients.channel(IDENTITY, None)
    }

    /// Opens and migrates the service's database. It then counts towards readiness, and its outbox is published.
    ///
    /// # Errors
    /// The database cannot be reached or migrated, or was opened before.
    pub async fn database<M: MigratorTrait>(&self) -> anyhow::Result<Db> {
        let url = match self.shared.common.database_url()? {
            Some(url) => url,
            None => {
                let file = self
                    .shared
                    .common
                    .data_dir
                    .join(format!("{}.db", self.shared.name));
                format!("sqlite:{}", file.display()).into()
            }
        };
        let db = Db::open::<M>(url.expose_secret())
            .await
            .context("the database cannot be opened")?;
        if self.shared.database.set(db.clone()).is_err() {
            anyhow::bail!("the database was opened twice");
        }
        Ok(db)
    }

    /// The connection to NATS. It is made in the background and again whenever it broke; readiness says how it is.
    ///
    /// # Errors
    /// NATS_URL is malformed.
    pub async fn nats(&self) -> anyhow::Result<async_nats::Client> {
        let connect = || async {
            let client = async_nats::ConnectOptions::new()
                .name(&self.shared.name)
                .ping_interval(NATS_PING_INTERVAL)
                .retry_on_initial_connect()
                .connect(&self.shared.common.nats_url)
                .await?;
            anyhow::Ok(client)
        };
        self.shared
            .nats
            .get_or_try_init(connect)
            .await
            .context("NATS_URL")
            .cloned()
    }

    /// Begins the service with its first gRPC server.
    pub fn grpc<S: GrpcService>(&self, server: S) -> Service {
        Service::new(self.clone()).grpc(server)
    }

    pub(crate) fn common(&self) -> &Common {
        &self.shared.common
    }

    pub(crate) fn tls(&self) -> Option<Arc<Tls>> {
        self.shared.tls.clone()
    }

    pub(crate) fn opened_database(&self) -> Option<Db> {
        self.shared.database.get().cloned()
    }

    pub(crate) fn opened_nats(&self) -> Option<async_nats::Client> {
        self.shared.nats.get().cloned()
    }

    pub(crate) fn metrics(&self) -> Option<Metrics> {
        self.shared.metrics.clone()
    }

    pub(crate) fn set_serving(&self) {
        self.shared.serving.store(true, Ordering::Relaxed);
    }

    /// Whether the service came as far as to serve.
    pub(crate) fn is_serving(&self) -> bool {
        self.shared.serving.load(Ordering::Relaxed)
    }
}

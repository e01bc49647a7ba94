//! The service's process, from its start to its end.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    io::{BufRead as _, BufReader, Read},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use kit::{
    DatabaseUrl, Engine, Nats, database_url,
    mesh::signal,
    rest::{Rest, try_send},
    wait::until,
};
use prost_reflect::ReflectMessage;
use serde_json::Value;
use tempfile::TempDir;
use tonic::transport::Channel;
use uuid::Uuid;

use crate::{
    call::{Bearer, Client},
    identity::Identity,
    stream,
};

/// Lines of its log that a failed test shows.
const LOG_TAIL_LINES: usize = 60;

/// A service that is about to start.
#[derive(Debug)]
pub struct ServiceBuilder {
    program: &'static str,
    engine: Engine,
    variables: BTreeMap<String, String>,
    upstreams: BTreeMap<String, String>,
    postgres_port: Option<u16>,
}

/// A running service with all that it stands on. Ends with the value and leaves nothing behind.
#[derive(Debug)]
pub struct Service {
    program: &'static str,
    variables: BTreeMap<String, String>,
    running: Running,
    identity: Identity,
    nats: Nats,
    database: DatabaseUrl,
    _home: TempDir,
}

#[derive(Debug)]
struct Running {
    child: Child,
    log: Log,
    grpc: String,
    admin: String,
}

/// What the process has written so far.
type Log = Arc<Mutex<Vec<String>>>;

impl ServiceBuilder {
    /// Sets a variable of the service's environment.
    #[must_use]
    pub fn with(mut self, variable: &str, value: impl Into<String>) -> Self {
        self.variables.insert(variable.to_owned(), value.into());
        self
    }

    /// Says where another service is.
    #[must_use]
    pub fn upstream(mut self, name: &str, url: impl Into<String>) -> Self {
        self.upstreams.insert(name.to_owned(), url.into());
        self
    }

    /// Reaches PostgreSQL by this port of 127.0.0.1 instead of the cluster's own, e.g. through a proxy of the test's.
    #[must_use]
    pub fn postgres_port(mut self, port: u16) -> Self {
        self.postgres_port = Some(port);
        self
    }

    /// Starts the service and waits until it is ready. `None` where the engine is PostgreSQL and tests have none.
    ///
    /// # Panics
    /// Where it ends instead, or does not get ready in time.
    pub async fn start(mut self) -> Option<Service> {
        let database = database_url(self.engine)?;
        let (nats, identity) = (Nats::start().await, Identity::start().await);
        let home = tempfile::Builder::new()
            .prefix("caravan-alone-")
            .tempdir()
            .expect("a temporary folder");
        self.upstreams
            .entry("identity".to_owned())
            .or_insert_with(|| identity.url().to_owned());
        let upstreams: Vec<_> = self
            .upstreams
            .iter()
            .map(|(name, url)| format!("{name}={url}"))
            .collect();
        let mut variables = BTreeMap::from([
            ("GRPC_ADDR".to_owned(), "127.0.0.1:0".to_owned()),
            ("ADMIN_ADDR".to_owned(), "127.0.0.1:0".to_owned()),
            (
                "DATABASE_URL".to_owned(),
                through(&database, self.postgres_port),
            ),
            ("NATS_URL".to_owned(), nats.url()),
            ("UPSTREAMS".to_owned(), upstreams.join(",")),
            ("DATA_DIR".to_owned(), home.path().display().to_string()),
            (
                "CLIENT_SECRET".to_owned(),
                "the test's identity asks for none".to_owned(),
            ),
            ("LOG_FORMAT".to_owned(), "json".to_owned()),
        ]);
        variables.append(&mut self.variables);
        let running = Running::start(self.program, &variables).await;
        Some(Service {
            program: self.program,
            variables,
            running,
            identity,
            nats,
            database,
            _home: home,
        })
    }
}

impl Service {
    /// The service whose binary is `program` (`env!("CARGO_BIN_EXE_...")`), on this engine.
    pub fn of(program: &'static str, engine: Engine) -> ServiceBuilder {
        ServiceBuilder {
            program,
            engine,
            variables: BTreeMap::new(),
            upstreams: BTreeMap::new(),
            postgres_port: None,
        }
    }

    /// A way to call it without a token.
    pub fn anonymous(&self) -> Client {
        self.client(None)
    }

    /// A way to call it with this token.
    pub fn with_token(&self, token: impl Into<String>) -> Client {
        self.client(Some(token.into()))
    }

    /// A way to call it as somebody with these roles.
    pub fn user(&self, id: Uuid, roles: &[&str]) -> Client {
        self.client(Some(self.identity.user(id, roles)))
    }

    /// A way to call it as an admin.
    pub fn admin(&self) -> Client {
        self.user(Uuid::now_v7(), &["admin"])
    }

    /// A way to call it as a customer.
    pub fn customer(&self) -> Client {
        self.user(Uuid::now_v7(), &["customer"])
    }

    /// A way to call it as another service of the mesh.
    pub fn peer(&self, name: &str) -> Client {
        self.client(Some(self.identity.service(name)))
    }

    fn client(&self, token: Option<String>) -> Client {
        let channel = Channel::from_shared(self.running.grpc.clone())
            .expect("a URL")
            .connect_lazy();
        Client::new(channel, Bearer(token))
    }

    /// Waits until at least `count` events of this type are published, and answers all that are.
    ///
    /// # Panics
    /// Where they do not come in time.
    pub async fn published<M: ReflectMessage + Default>(&self, count: usize) -> Vec<M> {
        let service = self.program.rsplit('/').next().unwrap_or_default();
        stream::published(&self.nats.url(), service, count).await
    }

    /// Waits until these events of their type are published, and no others are.
    ///
    /// # Panics
    /// Where they do not come in time, or others do.
    pub async fn publishes<M: ReflectMessage + Default + PartialEq + Debug>(&self, events: Vec<M>) {
        assert_eq!(self.published::<M>(events.len()).await, events);
    }

    /// Publishes an event as the service that owns it would.
    ///
    /// # Panics
    /// Where the broker does not take it.
    pub async fn hears<M: ReflectMessage>(&self, event: &M) {
        self.hears_from("", event).await;
    }

    /// Publishes an event as `service` would, of a kind that every service publishes.
    ///
    /// # Panics
    /// Where the broker does not take it.
    pub async fn hears_from<M: ReflectMessage>(&self, service: &str, event: &M) {
        stream::publish(&self.nats.url(), service, event).await;
    }

    /// Ends the process at once (SIGKILL) and starts another one over the same data.
    pub async fn crash_and_restart(&mut self) {
        self.running.kill();
        self.running = Running::start(self.program, &self.variables).await;
    }

    /// Ends the process at once and starts another one that may die at any moment, also before it is ready: `test`
    /// gets its process id. Answers once it is dead.
    pub async fn crash_and_start_doomed(&mut self, test: impl AsyncFnOnce(u32)) {
        self.running.kill();
        let mut doomed = Running::spawn(self.program, &self.variables);
        test(doomed.child.id()).await;
        doomed.kill();
    }

    /// Starts a replica over the same data and runs `test` against it.
    pub async fn beside<T>(&self, test: impl AsyncFnOnce(&Channel) -> T) -> T {
        let replica = Running::start(self.program, &self.variables).await;
        let channel = Channel::from_shared(replica.grpc.clone())
            .expect("a URL")
            .connect_lazy();
        test(&channel).await
    }

    /// Tells the process to drain (SIGTERM) and waits for its end.
    ///
    /// # Panics
    /// Where it does not end in time.
    pub async fn drain(&mut self) -> ExitStatus {
        signal(self.running.child.id(), "TERM");
        let child = Mutex::new(&mut self.running.child);
        until("the process ends", || async {
            let ended = child
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .try_wait()
                .expect("our child");
            ended.ok_or("still there")
        })
        .await
    }

    /// The process, to send signals to.
    pub fn pid(&self) -> u32 {
        self.running.child.id()
    }

    /// The admin port.
    pub fn admin_port(&self) -> Rest {
        Rest::new(self.running.admin.clone())
    }

    /// The broker that it publishes to.
    pub fn nats(&mut self) -> &mut Nats {
        &mut self.nats
    }

    /// The database that it keeps its data in.
    pub fn database(&self) -> &DatabaseUrl {
        &self.database
    }

    /// Memory that the process holds, in KiB.
    ///
    /// # Panics
    /// Where the system does not say so at /proc.
    pub fn resident_kib(&self) -> u64 {
        let status = format!("/proc/{}/status", self.running.child.id());
        let status = std::fs::read_to_string(status).expect("the process runs");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = resident.and_then(|line| line.trim().strip_suffix(" kB"));
        kib.and_then(|kib| kib.parse().ok())
            .expect("a number of kB")
    }

    /// What the process has written so far, a line each.
    pub fn log(&self) -> Vec<String> {
        lines(&self.running.log)
    }
}

impl Running {
    async fn start(program: &str, variables: &BTreeMap<String, String>) -> Self {
        let mut running = Self::spawn(program, variables);
        let (grpc, admin) = running.addresses().await;
        (running.grpc, running.admin) = (grpc, admin);
        running.ready().await;
        running
    }

    fn spawn(program: &str, variables: &BTreeMap<String, String>) -> Self {
        let mut child = Command::new(program)
            .envs(variables)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("cargo built the service");
        let log = Log::default();
        collect(child.stdout.take().expect("piped"), log.clone());
        collect(child.stderr.take().expect("piped"), log.clone());
        Self {
            child,
            log,
            grpc: String::new(),
            admin: String::new(),
        }
    }

    /// Where it listens, as its log says.
    async fn addresses(&mut self) -> (String, String) {
        let (child, log) = (Mutex::new(&mut self.child), &self.log);
        until("the service listens", || async {
            if let Some(status) = child
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .try_wait()
                .expect("our child")
            {
                panic!("it ended: {status}\n{}", lines(log).join("\n"));
            }
            let said = lines(log)
                .iter()
                .filter_map(|line| serde_json::from_str(line).ok())
                .find_map(|line: Value| {
                    let address = |field: &str| Some(format!("http://{}", line[field].as_str()?));
                    (line["message"] == "serving")
                        .then(|| Some((address("grpc")?, address("admin")?)))
                        .flatten()
                });
            said.ok_or("not yet")
        })
        .await
    }

    async fn ready(&self) {
        let rest = Rest::new(self.admin.clone());
        until("the service is ready", || async {
            match try_send(rest.request("GET".parse().expect("a method"), "/readyz")).await {
                Ok(answer) if answer.status == 200 => Ok(()),
                Ok(answer) => Err(answer.text),
                Err(error) => Err(error.to_string()),
            }
        })
        .await;
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            let lines = lines(&self.log);
            let tail = lines.len().saturating_sub(LOG_TAIL_LINES);
            eprintln!("the end of its log:\n{}", lines[tail..].join("\n"));
        }
    }
}

/// The URL of a database, by another port where one is given and the database is no file.
fn through(database: &str, port: Option<u16>) -> String {
    let Some((_, name)) = database.rsplit_once('/') else {
        return database.to_owned();
    };
    match (port, database.starts_with("postgres")) {
        (Some(port), true) => {
            let user = database
                .rsplit_once('@')
                .map(|(user, _)| format!("{user}@"));
            let user = user.unwrap_or_else(|| "postgres://".to_owned());
            format!("{user}127.0.0.1:{port}/{name}")
        }
        _ => database.to_owned(),
    }
}

fn collect(output: impl Read + Send + 'static, log: Log) {
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            log.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(line);
        }
    });
}

fn lines(log: &Log) -> Vec<String> {
    log.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

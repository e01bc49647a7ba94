//! A whole mesh with its people, its stock and its money.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::{
    database::{self, Engine, postgres},
    ledger::Ledger,
    mesh::{Mesh, Process, Status, caravan, signal},
    ports::PortBlock,
    rest::Rest,
    setup::Setup,
    shop::{Customer, Stock},
    wait::until,
};

/// What `caravan up` writes, in the world's home.
const LOG: &str = "up.log";
/// Lines of the log that a failed test shows.
const LOG_TAIL_LINES: usize = 40;

/// A running mesh with empty databases, on ports of its own. Ends with the value and leaves nothing behind,
/// unless the test failed: then its home is kept and named.
#[derive(Debug)]
pub struct World {
    mesh: Mesh,
    setup: Setup,
    rest: Rest,
    admin: OnceCell<Rest>,
    home: TempDir,
    databases: Option<Databases>,
    ports: PortBlock,
}

/// The databases of one world in a shared cluster.
#[derive(Debug)]
struct Databases {
    cluster: String,
    prefix: String,
}

impl World {
    /// A mesh on SQLite.
    pub async fn start() -> Self {
        Self::start_with(Setup::on(Engine::Sqlite))
            .await
            .expect("SQLite is always there")
    }

    /// A mesh as `setup` says; `None` where it is to be on PostgreSQL and a plain `cargo nextest run` has none.
    ///
    /// # Panics
    /// Where the mesh does not become ready.
    pub async fn start_with(mut setup: Setup) -> Option<Self> {
        let databases = match setup.engine {
            Engine::Sqlite => None,
            Engine::Postgres => Some(Databases {
                cluster: postgres()?,
                prefix: format!("w_{}_", Uuid::now_v7().simple()),
            }),
        };
        if let Some(Databases { cluster, prefix }) = &databases {
            let template = format!("{cluster}/{prefix}{{service}}");
            let template = match &setup.database_password {
                Some(password) => template.replacen('@', &format!(":{password}@"), 1),
                None => template,
            };
            setup.arguments.extend(["--postgres".into(), template]);
        }
        let home = tempfile::Builder::new()
            .prefix("caravan-world-")
            .tempdir()
            .expect("a temporary folder");
        let ports = PortBlock::take();
        let mesh = Mesh::spawn(
            &home.path().join("mesh"),
            ports.base,
            &setup,
            &home.path().join(LOG),
        );
        let mut world = Self {
            mesh,
            setup,
            rest: Rest::new(""),
            admin: OnceCell::new(),
            home,
            databases,
            ports,
        };
        world.rest = Rest::new(world.comes_up().await);
        Some(world)
    }

    /// Starts the mesh, which has ended, again in the same home, and waits until it is ready.
    pub async fn start_again(&mut self) {
        let log = self.home.path().join(LOG);
        self.mesh = Mesh::spawn(&self.mesh_home(), self.ports.base, &self.setup, &log);
        self.comes_up().await;
    }

    /// Waits until every process is ready; answers the gateway's URL.
    async fn comes_up(&mut self) -> String {
        until("the mesh is ready", || {
            if let Some(status) = self.mesh.ended() {
                panic!("caravan up ended: {status}");
            }
            let ready = self.gateway_if_ready();
            async { ready }
        })
        .await
    }

    fn gateway_if_ready(&self) -> Result<String, String> {
        let status = self.mesh.status()?;
        match status.gateway_url {
            Some(gateway) if status.ready => Ok(gateway),
            _ => {
                let processes = status.processes.into_iter();
                let waiting = processes.filter(|process| !process.ready);
                let names: Vec<_> = waiting.map(|process| process.name).collect();
                Err(format!("not ready: {names:?}"))
            }
        }
    }

    /// Waits until every process is ready, e.g. after one was killed.
    pub async fn ready(&self) {
        until("every process is ready", || async {
            self.gateway_if_ready()
        })
        .await;
    }

    /// REST without a token.
    pub fn anonymous(&self) -> &Rest {
        &self.rest
    }

    /// Somebody new with an account, logged in.
    pub async fn customer(&self, name: &str) -> Customer {
        Customer::register(&self.rest, name).await
    }

    /// REST with the mesh's own admin's token, from `caravan token --admin`.
    pub async fn admin(&self) -> &Rest {
        self.admin
            .get_or_init(|| async {
                let output = caravan()
                    .args(["token", "--admin", "--home"])
                    .arg(self.mesh_home())
                    .output()
                    .expect("the caravan binary lies beside the tests");
                assert!(
                    output.status.success(),
                    "{}",
                    String::from_utf8_lossy(&output.stderr)
                );
                self.rest
                    .with_token(String::from_utf8_lossy(&output.stdout).trim())
            })
            .await
    }

    /// Puts a new product on sale at this price (minor units of EUR) with this stock; answers its sku.
    pub async fn product(&self, sku: &str, price_minor: i64, on_hand: i64) -> String {
        let product = json!({
            "sku": sku,
            "name": sku,
            "price": {"currencyCode": "EUR", "minorUnits": price_minor.to_string()},
        });
        let admin = self.admin().await;
        admin.post("/v1/products", &product).await.expect(201);
        self.set_stock(sku, on_hand).await;
        sku.to_owned()
    }

    /// Says how many units of a sku are in the house.
    pub async fn set_stock(&self, sku: &str, on_hand: i64) {
        self.admin()
            .await
            .put(
                &format!("/v1/stock/{sku}"),
                &json!({"onHand": on_hand.to_string()}),
            )
            .await
            .expect(200);
    }

    /// Stock of one sku.
    pub async fn stock(&self, sku: &str) -> Stock {
        self.rest
            .get(&format!("/v1/stock/{sku}"))
            .await
            .expect(200)
            .read()
    }

    /// Waits until the sku's stock is this.
    pub async fn until_stock(&self, sku: &str, on_hand: i64, reserved: i64) {
        let wanted = Stock {
            on_hand,
            reserved,
            available: on_hand - reserved,
        };
        until("the stock is as it should be", || async {
            let stock = self.stock(sku).await;
            if stock == wanted {
                Ok(())
            } else {
                Err((stock, &wanted))
            }
        })
        .await;
    }

    /// The order's checkout saga with all steps, once it is in this state.
    pub async fn until_saga(&self, order_id: &str, state: &str) -> Value {
        let admin = self.admin().await;
        until(state, || async {
            let sagas = admin
                .get(&format!("/v1/sagas?definition=checkout&key={order_id}"))
                .await
                .expect(200)
                .json();
            match &sagas["sagas"][0] {
                saga if saga["state"] == state => {
                    let id = saga["sagaId"].as_str().expect("a saga has an id");
                    Ok(admin
                        .get(&format!("/v1/sagas/{id}"))
                        .await
                        .expect(200)
                        .json())
                }
                saga => Err(saga.clone()),
            }
        })
        .await
    }

    /// The payment provider's own books.
    pub async fn ledger(&self) -> Ledger {
        let address = self.process("payment-sandbox").http;
        Ledger::read(&address.expect("the sandbox speaks HTTP")).await
    }

    /// How the mesh is.
    pub fn status(&self) -> Status {
        self.mesh.status().expect("the mesh has a status")
    }

    /// One process of the mesh.
    pub fn process(&self, name: &str) -> Process {
        let processes = self.status().processes;
        processes
            .iter()
            .find(|process| process.name == name)
            .unwrap_or_else(|| panic!("no {name} in {processes:?}"))
            .clone()
    }

    /// Sends a signal to a process of the mesh, e.g. `STOP`; answers its pid.
    pub fn signal(&self, name: &str, signal_name: &str) -> u32 {
        let pid = self.process(name).pid.expect("the process runs");
        signal(pid, signal_name);
        pid
    }

    /// Ends a process at once (SIGKILL); `caravan up` starts it again.
    pub fn kill(&self, name: &str) -> u32 {
        self.signal(name, "KILL")
    }

    /// Waits until another process than `old_pid` serves this name and is ready.
    pub async fn restarted(&self, name: &str, old_pid: u32) {
        until("the process is back", || async {
            let process = self.process(name);
            if process.ready && process.pid.is_some_and(|pid| pid != old_pid) {
                Ok(())
            } else {
                Err(process)
            }
        })
        .await;
    }

    /// Every line of the log that is JSON: all services, in the order of arrival.
    pub fn log(&self) -> Vec<Value> {
        self.mesh
            .log()
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// Everything that was logged so far, as it came.
    pub fn raw_log(&self) -> String {
        self.mesh.log()
    }

    /// All that is stored, by place: files of the mesh's home (`data/identity.db`, `logs/...`, `nats/...`) but its secrets,
    /// and dumps of databases (`database identity`).
    pub fn stored(&self) -> Vec<(String, Vec<u8>)> {
        let home = self.mesh_home();
        let mut stored = Vec::new();
        files(&home, &home, &mut stored);
        stored.retain(|(place, _)| !place.starts_with("secrets/"));
        if let Some(Databases { cluster, prefix }) = &self.databases {
            let dumps = database::dump_databases(cluster, prefix).into_iter();
            stored.extend(dumps.map(|(name, dump)| (name.replacen(prefix, "database ", 1), dump)));
        }
        stored
    }

    /// The folder that `caravan up` works in.
    pub fn mesh_home(&self) -> PathBuf {
        self.home.path().join("mesh")
    }

    /// The first of the ports that this world may use.
    pub fn port_base(&self) -> u16 {
        self.ports.base
    }

    /// The running command.
    pub fn mesh(&mut self) -> &mut Mesh {
        &mut self.mesh
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let failed = thread::panicking();
        self.mesh.stop();
        if failed {
            self.home.disable_cleanup(true);
            show_log(&self.home.path().join(LOG));
        }
        if let Some(Databases { cluster, prefix }) = &self.databases {
            database::drop_databases(cluster, prefix);
        }
    }
}

/// Every file below a folder, with its path from `home` on and what is in it now.
fn files(home: &Path, folder: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(home, &path, found);
        } else if let Ok(content) = fs::read(&path) {
            // One that is gone meanwhile holds nothing any more.
            let path = path.strip_prefix(home).unwrap_or(&path);
            found.push((path.display().to_string(), content));
        }
    }
}

fn show_log(path: &Path) {
    let log = fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<_> = log.lines().collect();
    let tail = lines.len().saturating_sub(LOG_TAIL_LINES);
    eprintln!("the end of {}:", path.display());
    for line in &lines[tail..] {
        eprintln!("{line}");
    }
}

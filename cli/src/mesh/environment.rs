//! What each process is told through its environment.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::home::Home;
use super::postgres::Template;
use super::secrets::{ADMIN_EMAIL, Secrets};
use super::topology::{Node, Role, Topology};

/// Marks every process of a mesh with the mesh's home, so that `caravan down` finds them whatever happened to their parent.
pub const MESH_MARK: &str = "CARAVAN_MESH";
/// Marks every process of a mesh with its name.
pub const PROCESS_MARK: &str = "CARAVAN_PROCESS";

/// Variables of our processes. None of them leaks in from the shell: what is not set here is unset.
const OWNED: [&str; 26] = [
    "ADMIN_ADDR",
    "BOOTSTRAP_ADMIN_EMAIL",
    "BOOTSTRAP_ADMIN_PASSWORD",
    "BOOTSTRAP_ADMIN_PASSWORD_FILE",
    "CLIENT_SECRET",
    "CLIENT_SECRET_FILE",
    "DATABASE_URL",
    "DATABASE_URL_FILE",
    "DATA_DIR",
    "DRAIN_TIMEOUT",
    "GRPC_ADDR",
    "LISTEN_ADDR",
    "LOG_FORMAT",
    MESH_MARK,
    "NATS_URL",
    PROCESS_MARK,
    "PROVIDER_KEY",
    "PROVIDER_KEY_FILE",
    "PROVIDER_URL",
    "PUBLIC_URL",
    "SECOND_FACTOR_KEY",
    "SECOND_FACTOR_KEY_FILE",
    "SERVICE_CLIENTS_FILE",
    "TOKEN_ISSUER",
    "TZ",
    "UPSTREAMS",
];

/// What the environments of a mesh are made of.
#[derive(Clone, Copy, Debug)]
pub struct Environment<'a> {
    /// Where the mesh lives.
    pub home: &'a Home,
    /// Where everybody listens.
    pub topology: &'a Topology,
    /// PostgreSQL instead of SQLite for the services.
    pub postgres: Option<&'a Template>,
    /// Longest wait between SIGTERM and exit of one process.
    pub drain_timeout: Duration,
}

impl Environment<'_> {
    /// The variables to remove from what is inherited.
    #[must_use]
    pub fn owned() -> &'static [&'static str] {
        &OWNED
    }

    /// The variables of one process.
    #[must_use]
    pub fn of(&self, node: &Node) -> Vec<(&'static str, OsString)> {
        let mut variables = vec![
            (MESH_MARK, self.home.root().into()),
            (PROCESS_MARK, node.name.into()),
        ];
        if node.role == Role::Broker {
            // Its log has local times without an offset otherwise.
            variables.push(("TZ", "UTC".into()));
            return variables;
        }
        variables.extend([
            ("LOG_FORMAT", "json".into()),
            ("DATA_DIR", self.home.data().into()),
            (
                "DRAIN_TIMEOUT",
                humantime::format_duration(self.drain_timeout)
                    .to_string()
                    .into(),
            ),
        ]);
        if let Some(admin) = node.admin {
            variables.push(("ADMIN_ADDR", admin.to_string().into()));
        }
        let secrets = Secrets::of(self.home);
        match node.role {
            Role::Broker => {}
            Role::Gateway => variables.extend([
                ("LISTEN_ADDR", node.address.to_string().into()),
                ("UPSTREAMS", self.topology.upstreams().into()),
            ]),
            Role::Provider => variables.extend([
                ("LISTEN_ADDR", node.address.to_string().into()),
                path("PROVIDER_KEY_FILE", secrets.provider_key()),
            ]),
            Role::Service => {
                variables.extend([
                    ("GRPC_ADDR", node.address.to_string().into()),
                    (
                        "NATS_URL",
                        self.topology.only(Role::Broker).location().into(),
                    ),
                    ("UPSTREAMS", self.topology.upstreams().into()),
                    path("CLIENT_SECRET_FILE", secrets.client(node.name)),
                ]);
                variables.extend(
                    self.postgres
                        .map(|template| ("DATABASE_URL", template.url(node.name).into())),
                );
                variables.extend(self.of_service(node.name, &secrets));
            }
        }
        variables
    }

    /// What only one service is told.
    fn of_service(&self, name: &str, secrets: &Secrets) -> Vec<(&'static str, OsString)> {
        match name {
            "identity" => vec![
                path("SERVICE_CLIENTS_FILE", secrets.clients()),
                (
                    "PUBLIC_URL",
                    self.topology.only(Role::Gateway).location().into(),
                ),
                ("BOOTSTRAP_ADMIN_EMAIL", ADMIN_EMAIL.into()),
                path("BOOTSTRAP_ADMIN_PASSWORD_FILE", secrets.admin_password()),
                path("SECOND_FACTOR_KEY_FILE", secrets.second_factor_key()),
            ],
            "payment" => vec![
                (
                    "PROVIDER_URL",
                    self.topology.only(Role::Provider).location().into(),
                ),
                path("PROVIDER_KEY_FILE", secrets.provider_key()),
            ],
            _ => Vec::new(),
        }
    }
}

fn path(variable: &'static str, path: PathBuf) -> (&'static str, OsString) {
    (variable, path.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_that_is_set_is_owned() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::create(folder.path()).unwrap();
        let topology = Topology::new(8080).unwrap();
        let template = Template::parse("postgres://h/{service}").unwrap();
        let environment = Environment {
            home: &home,
            topology: &topology,
            postgres: Some(&template),
            drain_timeout: Duration::from_secs(25),
        };
        for node in &topology.nodes {
            for (variable, _) in environment.of(node) {
                assert!(OWNED.contains(&variable), "{variable} of {}", node.name);
            }
        }
        let provider = environment.of(topology.only(Role::Provider));
        assert!(
            provider
                .iter()
                .all(|(variable, _)| *variable != "DATABASE_URL"),
            "the sandbox keeps its own file"
        );
    }
}

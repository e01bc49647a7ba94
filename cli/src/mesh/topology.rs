//! The only list of the mesh's processes, and where each listens.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::ensure;

/// What kind of process it is. The order is the order of draining: who asks stops before who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// REST, gRPC-Web and gRPC for the outside.
    Gateway,
    /// A gRPC service of the mesh.
    Service,
    /// The stand-in for the payment provider.
    Provider,
    /// The message broker.
    Broker,
}

impl Role {
    /// Every role, in the order of draining.
    pub const DRAIN_ORDER: [Self; 4] = [Self::Gateway, Self::Service, Self::Provider, Self::Broker];
}

/// Every process: its name, which is also its program's, what it is, and its ports relative to the port base
/// (where it listens; its admin port).
const PROCESSES: [(&str, Role, u16, Option<u16>); 9] = [
    ("nats-server", Role::Broker, 2, None),
    ("payment-sandbox", Role::Provider, 3, None),
    ("identity", Role::Service, 10, Some(11)),
    ("catalog", Role::Service, 12, Some(13)),
    ("inventory", Role::Service, 14, Some(15)),
    ("ordering", Role::Service, 16, Some(17)),
    ("payment", Role::Service, 18, Some(19)),
    ("saga", Role::Service, 20, Some(21)),
    ("gateway", Role::Gateway, 0, Some(1)),
];

/// Ports that one mesh takes, from its port base on.
pub const PORTS: u16 = 22;

/// One process of a mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name, its program's name and, for a service, its logical name.
    pub name: &'static str,
    /// What it is.
    pub role: Role,
    /// Where it serves: gRPC for services, HTTP for gateway and provider, NATS for the broker.
    pub address: SocketAddr,
    /// `/livez`, `/readyz`, `/metrics`.
    pub admin: Option<SocketAddr>,
}

impl Node {
    /// The address as a URL where it is not gRPC, else `host:port`.
    #[must_use]
    pub fn location(&self) -> String {
        match self.role {
            Role::Gateway | Role::Provider => format!("http://{}", self.address),
            Role::Broker => format!("nats://{}", self.address),
            Role::Service => self.address.to_string(),
        }
    }

    /// Every port of the process with what it is for.
    pub fn ports(&self) -> impl Iterator<Item = (SocketAddr, String)> {
        let purpose = match self.role {
            Role::Gateway | Role::Provider => "HTTP",
            Role::Service => "gRPC",
            Role::Broker => "clients",
        };
        let admin = self
            .admin
            .map(|address| (address, format!("{}, admin", self.name)));
        std::iter::once((self.address, format!("{}, {purpose}", self.name))).chain(admin)
    }
}

/// The processes of one mesh with their addresses.
#[derive(Clone, Debug)]
pub struct Topology {
    /// Every process once.
    pub nodes: Vec<Node>,
}

impl Topology {
    /// The mesh whose ports start at `port_base`, on the loopback interface.
    ///
    /// # Errors
    /// Where the base leaves no room for the mesh's ports.
    pub fn new(port_base: u16) -> anyhow::Result<Self> {
        ensure!(
            port_base > 0 && port_base.checked_add(PORTS - 1).is_some(),
            "port base {port_base} leaves no room: a mesh takes {PORTS} ports up to 65535"
        );
        let at = |offset: u16| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port_base + offset);
        let nodes = PROCESSES.iter().map(|&(name, role, listen, admin)| Node {
            name,
            role,
            address: at(listen),
            admin: admin.map(at),
        });
        Ok(Self {
            nodes: nodes.collect(),
        })
    }

    /// The one node of a role that has one: gateway, provider, broker.
    #[must_use]
    pub fn only(&self, role: Role) -> &Node {
        self.nodes
            .iter()
            .find(|node| node.role == role)
            .expect("the table has each role")
    }

    /// The gRPC services.
    pub fn services(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.role == Role::Service)
    }

    /// Logical name to URL for every service, as the variable `UPSTREAMS` wants it.
    #[must_use]
    pub fn upstreams(&self) -> String {
        let pairs: Vec<_> = self
            .services()
            .map(|node| format!("{}=http://{}", node.name, node.address))
            .collect();
        pairs.join(",")
    }
}

/// The place of a process in the table, e.g. to give each its own colour.
#[must_use]
pub fn index(name: &str) -> Option<usize> {
    PROCESSES.iter().position(|(process, ..)| *process == name)
}

/// What the process of this name is.
#[must_use]
pub fn role(name: &str) -> Option<Role> {
    PROCESSES
        .iter()
        .find_map(|&(process, role, ..)| (process == name).then_some(role))
}

/// Every process name.
pub fn names() -> impl Iterator<Item = &'static str> {
    PROCESSES.iter().map(|(name, ..)| *name)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_port_is_given_twice_and_all_are_in_range() {
        let topology = Topology::new(8080).unwrap();
        let ports: Vec<_> = topology
            .nodes
            .iter()
            .flat_map(Node::ports)
            .map(|(address, _)| address.port())
            .collect();
        assert_eq!(ports.iter().collect::<HashSet<_>>().len(), ports.len());
        assert!(ports.iter().all(|port| (8080..8080 + PORTS).contains(port)));
    }

    #[test]
    fn upstreams_name_every_service_once() {
        let topology = Topology::new(8080).unwrap();
        assert_eq!(
            topology.upstreams(),
            "identity=http://127.0.0.1:8090,catalog=http://127.0.0.1:8092,inventory=http://127.0.0.1:8094,\
             ordering=http://127.0.0.1:8096,payment=http://127.0.0.1:8098,saga=http://127.0.0.1:8100"
        );
    }

    #[test]
    fn a_base_too_high_is_refused() {
        assert!(Topology::new(65_514).is_ok());
        assert!(Topology::new(65_515).is_err());
    }
}

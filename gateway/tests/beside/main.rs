//! What stands beside the services of a contract: other versions of them, and old systems that speak plain HTTP.

mod bodies;
#[path = "../notes/mod.rs"]
mod notes;
mod old;
mod prefixes;
mod sockets;
mod splits;
mod start;

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use alone::Signer;
use chassis::auth::Verifier;
use gateway::{
    api::Api,
    gateway::Gateway,
    policy::{Policies, Settings},
    server,
    source::{Contract, DefaultAccess},
    upstream::Directory,
};
use notes::{PATIENCE, contract};
use prost_reflect::DescriptorPool;
use tokio::{
    net::{TcpListener, TcpSocket},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// A gateway in this process, which ends with its handle.
struct World {
    url: String,
    address: SocketAddr,
    client: reqwest::Client,
    signer: Signer,
    drain: CancellationToken,
}

impl World {
    /// In front of `upstreams`, each `NAME=URL` or a URL, by the policies `yaml`.
    async fn start(upstreams: &[&str], yaml: &str) -> Self {
        let signer = Signer::new();
        let targets = upstreams.iter().map(|target| target.parse());
        let targets: Vec<_> = targets.map(|target| target.expect("a target")).collect();
        let directory = Directory::new(&targets, &"".parse().expect("none"), 1);
        let settings = Settings::parse(Path::new("p.yaml"), yaml).expect("settings");
        let verifier = Verifier::new("caravan", signer.clone());
        let policies = Policies::new(settings, Some(verifier)).beside(&directory);
        let policies = Arc::new(policies.expect("upstreams"));
        let socket = r#"rpc Talk(stream Note) returns (stream Note) { option (google.api.http) = {post: "/v1/talk" body: "*"}; }"#;
        let contract = Contract {
            pool: DescriptorPool::decode(&*contract(socket)).expect("a contract"),
            default_access: DefaultAccess::Public,
            ..Contract::empty()
        };
        let api = Api::compile(&contract, &directory, &policies).expect("the contract");
        let drain = CancellationToken::new();
        let gateway = Arc::new(Gateway::new(api, policies, false, drain.clone()));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let serve = server::serve(listener, None, gateway, drain.clone(), PATIENCE);
        tokio::spawn(serve);
        Self {
            url: format!("http://{address}"),
            address,
            client: reqwest::Client::new(),
            signer,
            drain,
        }
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.client.get(self.at(path))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.drain.cancel();
    }
}

async fn send(request: reqwest::RequestBuilder) -> reqwest::Response {
    let answer = timeout(PATIENCE, request.send()).await.expect("in time");
    answer.expect("an answer")
}

async fn status(request: reqwest::RequestBuilder) -> u16 {
    send(request).await.status().as_u16()
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let poll = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let in_time = timeout(PATIENCE, poll).await;
    in_time.unwrap_or_else(|_| panic!("not in time: {what}"));
}

/// An address at which nobody listens, as long as the socket is kept.
fn nowhere() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().expect("a socket");
    let any = "127.0.0.1:0".parse().expect("an address");
    socket.bind(any).expect("a port");
    let address = socket.local_addr().expect("bound");
    (socket, address)
}

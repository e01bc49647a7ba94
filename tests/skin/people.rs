//! Everybody who may call: by their tokens.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use contracts::caravan::identity::v1::{
    IssueTokenRequest, o_auth_service_client::OAuthServiceClient,
};
use kit::{
    Engine, Setup, World,
    rest::Rest,
    shop::{Customer, PASSWORD},
};
use serde_json::{Value as Json, json};
use tokio::sync::Mutex;
use tonic::transport::Channel;

use crate::{contract, wire};

/// The client that may have any scope.
const CLIENT_ID: &str = "erp";

/// A mesh that takes as many requests as it can.
pub(crate) fn setup(engine: Engine) -> Setup {
    let policies = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/skin/policies.yaml");
    Setup::on(engine).variable("POLICIES", policies)
}

/// Somebody who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Who {
    Anonymous,
    /// Whose objects are asked for.
    Owner,
    /// Another customer.
    Other,
    Support,
    Operator,
    Admin,
    /// Another service.
    Service,
    /// A client with the scopes that the contract names, or with all that there are where it names none.
    Client,
    /// A client with all other scopes.
    OtherClient,
}

impl Who {
    pub(crate) const ALL: [Self; 9] = [
        Self::Anonymous,
        Self::Owner,
        Self::Other,
        Self::Support,
        Self::Operator,
        Self::Admin,
        Self::Service,
        Self::Client,
        Self::OtherClient,
    ];

    pub(crate) fn is_person(self) -> bool {
        !matches!(
            self,
            Self::Anonymous | Self::Service | Self::Client | Self::OtherClient
        )
    }

    /// The role that tells them from other people.
    pub(crate) fn role(self) -> Option<&'static str> {
        match self {
            Self::Support => Some("support"),
            Self::Operator => Some("operator"),
            Self::Admin => Some("admin"),
            _ => None,
        }
    }
}

/// One of each.
pub(crate) struct People {
    pub(crate) owner: Customer,
    tokens: Vec<(Who, String)>,
    /// What people log in with.
    logins: Vec<(Who, Json)>,
    clients: Clients,
}

/// A client that may have any scope, and what it got for some of them.
struct Clients {
    identity: OAuthServiceClient<Channel>,
    secret: String,
    all: Scopes,
    tokens: Mutex<BTreeMap<Scopes, String>>,
}

type Scopes = BTreeSet<String>;

impl People {
    pub(crate) async fn of(world: &World) -> Self {
        let owner = world.customer("ada").await;
        let other = world.customer("bob").await;
        let mut tokens = vec![
            (Who::Owner, token(&owner.rest)),
            (Who::Other, token(&other.rest)),
            (Who::Admin, token(world.admin().await)),
            (Who::Service, service_token(world, "payment").await),
        ];
        for who in [Who::Support, Who::Operator] {
            let role = who.role().expect("staff");
            tokens.push((who, token(&staff(world, role).await)));
        }
        let mut logins = Vec::new();
        for (who, token) in tokens.iter().filter(|(who, _)| who.is_person()) {
            let me = world
                .anonymous()
                .with_token(token)
                .get("/v1/accounts/me")
                .await;
            let email = me.expect(200).json()["email"].clone();
            let password = match who {
                Who::Admin => secret(world, "admin-password"),
                _ => PASSWORD.to_owned(),
            };
            logins.push((*who, json!({"email": email, "password": password})));
        }
        Self {
            owner,
            tokens,
            logins,
            clients: Clients::of(world).await,
        }
    }

    /// Logs somebody in anew whose sessions have ended.
    pub(crate) async fn log_in(&mut self, world: &World, who: Who) {
        let Some((_, login)) = self.logins.iter().find(|(person, _)| *person == who) else {
            return;
        };
        let session = world.anonymous().post("/v1/sessions", login).await;
        let token = session.expect(201).json()["accessToken"].clone();
        let token = token.as_str().expect("a token").to_owned();
        self.tokens.retain(|(held, _)| *held != who);
        self.tokens.push((who, token));
    }

    /// The token that somebody shows who is no client; nobody shows none.
    pub(crate) fn token(&self, who: Who) -> Option<&str> {
        let mut tokens = self.tokens.iter();
        tokens
            .find(|(held, _)| *held == who)
            .map(|(_, token)| token.as_str())
    }

    /// The token that somebody shows where the contract names these scopes; nobody shows none. The other client is left out
    /// where it would be the same as the first.
    pub(crate) async fn token_for(&self, who: Who, named: &Scopes) -> Option<Option<String>> {
        let others = || self.clients.all.difference(named).cloned().collect();
        let scopes = match who {
            Who::Anonymous => return Some(None),
            Who::Client if named.is_empty() => others(),
            Who::Client => named.clone(),
            Who::OtherClient if named.is_empty() => return None,
            Who::OtherClient => others(),
            who => return Some(self.token(who).map(str::to_owned)),
        };
        Some(Some(self.clients.token(scopes).await))
    }
}

impl Clients {
    async fn of(world: &World) -> Self {
        let rules = contract::rpcs()
            .into_iter()
            .filter_map(|rpc| rpc.policy.access.clone());
        let named = rules.flat_map(|rule| rule.scopes);
        // What an endpoint asks for by itself.
        let others = ["tokens:introspect", "tokens:revoke"].map(str::to_owned);
        let all: Scopes = named.chain(others).collect();
        let wanted = json!({"clientId": CLIENT_ID, "scopes": all});
        let made = world.admin().await.post("/v1/clients", &wanted).await;
        let secret = made.expect(201).json()["clientSecret"].clone();
        Self {
            identity: OAuthServiceClient::new(wire::channel(world, "identity")),
            secret: secret.as_str().expect("a secret").to_owned(),
            all,
            tokens: Mutex::default(),
        }
    }

    async fn token(&self, scopes: Scopes) -> String {
        let mut tokens = self.tokens.lock().await;
        if let Some(token) = tokens.get(&scopes) {
            return token.clone();
        }
        let wanted: Vec<_> = scopes.iter().map(String::as_str).collect();
        let identity = &mut self.identity.clone();
        let token = client_token(identity, CLIENT_ID, &self.secret, &wanted.join(" ")).await;
        tokens.insert(scopes, token.clone());
        token
    }
}

fn token(rest: &Rest) -> String {
    rest.token().expect("logged in").to_owned()
}

/// Somebody who works for the shop, and is nothing else.
pub(crate) async fn staff(world: &World, role: &str) -> Rest {
    let person = world.customer(role).await;
    let path = format!("/v1/accounts/{}/roles", person.account_id);
    let roles = json!({"roles": [role]});
    world.admin().await.put(&path, &roles).await.expect(200);
    // Tokens say the roles that were held at the login.
    let login = json!({"email": person.email, "password": PASSWORD});
    let session = world.anonymous().post("/v1/sessions", &login).await;
    let token = session.expect(201).json()["accessToken"].clone();
    person.rest.with_token(token.as_str().expect("a token"))
}

/// The token of a service of the mesh, by its own secret.
pub(crate) async fn service_token(world: &World, service: &str) -> String {
    let secret = secret(world, &format!("{service}-client"));
    let identity = &mut OAuthServiceClient::new(wire::channel(world, "identity"));
    client_token(identity, service, &secret, "").await
}

/// A secret of the mesh.
fn secret(world: &World, name: &str) -> String {
    let file = world.mesh_home().join("secrets").join(name);
    let secret = fs::read_to_string(file).expect("made at the start");
    secret.trim().to_owned()
}

async fn client_token(
    identity: &mut OAuthServiceClient<Channel>,
    client_id: &str,
    secret: &str,
    scope: &str,
) -> String {
    let request = IssueTokenRequest {
        grant_type: "client_credentials".to_owned(),
        client_id: client_id.to_owned(),
        client_secret: secret.to_owned(),
        scope: scope.to_owned(),
    };
    let answer = identity.issue_token(request).await;
    answer.expect("it is its secret").into_inner().access_token
}

//! Everybody who may call: by their tokens.

use std::fs;

use contracts::caravan::identity::v1::{
    IssueTokenRequest, o_auth_service_client::OAuthServiceClient,
};
use kit::{
    Engine, Setup, World,
    rest::Rest,
    shop::{Customer, PASSWORD},
};
use serde_json::json;

use crate::wire;

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
}

impl Who {
    pub(crate) const ALL: [Self; 7] = [
        Self::Anonymous,
        Self::Owner,
        Self::Other,
        Self::Support,
        Self::Operator,
        Self::Admin,
        Self::Service,
    ];

    pub(crate) fn is_person(self) -> bool {
        !matches!(self, Self::Anonymous | Self::Service)
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
}

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
        Self { owner, tokens }
    }

    /// The token that somebody shows; nobody shows none.
    pub(crate) fn token(&self, who: Who) -> Option<&str> {
        let mut tokens = self.tokens.iter();
        tokens
            .find(|(held, _)| *held == who)
            .map(|(_, token)| token.as_str())
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
    let file = world
        .mesh_home()
        .join("secrets")
        .join(format!("{service}-client"));
    let secret = fs::read_to_string(file).expect("each service has a secret");
    let request = IssueTokenRequest {
        grant_type: "client_credentials".to_owned(),
        client_id: service.to_owned(),
        client_secret: secret.trim().to_owned(),
        scope: String::new(),
    };
    let mut identity = OAuthServiceClient::new(wire::channel(world, "identity"));
    let answer = identity.issue_token(request).await;
    answer.expect("it is its secret").into_inner().access_token
}

//! Who may call what: a table of every rpc and route of the contract, held against the contract and against a mesh that runs.

use std::collections::{BTreeMap, BTreeSet};

use contracts::caravan::options::v1::Access;
use kit::{
    Engine, World,
    rest::try_send,
    shop::{PASSWORD, an_order},
};
use prost_reflect::{DynamicMessage, FieldDescriptor, Value};
use serde_json::{Value as Json, json};
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt as _;

use crate::{
    contract::{self, Rpc, sample},
    people::{People, Who, setup},
    wire,
};

/// Every rpc, and who gets in:
///
/// - `everybody`, also without a token;
/// - `people`, whoever has an account, to what is their own;
/// - `owner`, of all people only who owns the object that is asked for, and those named behind it; to everybody else
///   with an account it does not exist;
/// - roles, `services`, and `scope:...` of service clients, who see everybody's objects;
/// - `few-services`: the contract says services, and the handler which of them; payment, which the test calls as, is not
///   among them.
const TABLE: &str = include_str!("access.table");

/// A row of the table.
#[derive(Debug, Default, PartialEq, Eq)]
struct Row {
    grants: BTreeSet<String>,
}

impl Row {
    fn has(&self, grant: &str) -> bool {
        self.grants.contains(grant)
    }

    /// The scopes with which clients get in.
    fn scopes(&self) -> BTreeSet<String> {
        let grants = self.grants.iter();
        let scopes = grants.filter_map(|grant| grant.strip_prefix("scope:"));
        scopes.map(str::to_owned).collect()
    }

    /// What the contract must say for this row.
    fn access(&self) -> Access {
        let is_owned = self.has("owner");
        let roles = ["admin", "customer", "operator", "support"];
        let roles = roles.iter().filter(|role| !is_owned && self.has(role));
        Access {
            public: self.has("everybody"),
            signed_in: self.has("people") || is_owned,
            roles: roles.map(ToString::to_string).collect(),
            services: self.has("services") || self.has("few-services"),
            scopes: self.scopes().into_iter().collect(),
        }
    }

    /// What somebody finds who asks for an object of the owner's.
    fn expects(&self, who: Who) -> Expected {
        let is_let_in = match who {
            _ if self.has("everybody") => true,
            Who::Anonymous => false,
            Who::Service => self.has("services"),
            Who::Client => !self.scopes().is_empty(),
            Who::OtherClient => false,
            _ if self.has("people") => true,
            Who::Owner => self.has("owner"),
            who => who.role().is_some_and(|role| self.has(role)),
        };
        match who {
            _ if is_let_in => Expected::LetIn,
            Who::Anonymous => Expected::Unauthenticated,
            who if who.is_person() && self.has("owner") => Expected::NotFound,
            _ => Expected::Denied,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    LetIn,
    /// Nobody was named.
    Unauthenticated,
    /// Not for the likes of them.
    Denied,
    /// Somebody else's object: there is none.
    NotFound,
}

fn table() -> BTreeMap<String, Row> {
    let rows = TABLE.lines().map(str::trim);
    rows.filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let mut words = line.split_whitespace().map(str::to_owned);
            let rpc = words.next().expect("a name");
            (
                rpc,
                Row {
                    grants: words.collect(),
                },
            )
        })
        .collect()
}

/// As a row of the table would have it.
fn written(rpc: &str, access: &Access) -> String {
    let mut words = vec![rpc.to_owned()];
    if access.public {
        words.push("everybody".into());
    }
    if access.signed_in {
        words.push("people".into());
    }
    let mut roles = access.roles.clone();
    roles.sort();
    words.extend(roles);
    if access.services {
        words.push("services".into());
    }
    words.extend(access.scopes.iter().map(|scope| format!("scope:{scope}")));
    words.join(" ")
}

#[test]
fn the_table_names_every_rpc_and_the_contract_agrees() {
    let table = table();
    let mut faults = Vec::new();
    let mut named = BTreeSet::new();
    for rpc in contract::rpcs() {
        let name = rpc.name().to_owned();
        let access = rpc.policy.access.clone().unwrap_or_default();
        match table.get(&name) {
            None => faults.push(format!("no row; perhaps: {}", written(&name, &access))),
            Some(row) => {
                let (row, contract) = (written(&name, &row.access()), written(&name, &access));
                if row != contract {
                    faults.push(format!("the row says `{row}`, the contract `{contract}`"));
                }
            }
        }
        named.insert(name);
    }
    let gone = table.keys().filter(|name| !named.contains(*name));
    faults.extend(gone.map(|name| format!("{name} is not in the contract")));
    assert!(
        faults.is_empty(),
        "tests/skin/access.table: {}",
        faults.join("\n")
    );
}

/// What the mesh holds that is the owner's.
pub(crate) struct Objects {
    pub(crate) ids: BTreeMap<&'static str, String>,
}

impl Objects {
    /// An order with all that comes of it.
    pub(crate) async fn of(world: &World, people: &People) -> Self {
        let sku = world.product("coffee", 1250, 1000).await;
        let owner = &people.owner;
        let order = owner.place(an_order().line(&sku, 1).wait(30)).await;
        let saga = world
            .until_saga(&order.order_id, "SAGA_STATE_COMPLETED")
            .await;
        let payment = &owner.payments(&order).await[0];
        let products = world.anonymous().get("/v1/products").await.expect(200);
        let text = |json: &Json| json.as_str().expect("an id").to_owned();
        let sessions = owner.rest.get("/v1/sessions").await.expect(200).json();
        let ids = [
            ("order_id", order.order_id.clone()),
            ("payment_id", payment.payment_id.clone()),
            ("saga_id", text(&saga["sagaId"])),
            (
                "product_id",
                text(&products.json()["products"][0]["productId"]),
            ),
            ("session_id", text(&sessions["sessions"][0]["sessionId"])),
            ("account_id", owner.account_id.clone()),
            ("account_ids", owner.account_id.clone()),
            ("customer_id", owner.account_id.clone()),
            ("sku", sku.clone()),
            ("skus", sku),
            ("definition", "checkout".to_owned()),
        ];
        Self { ids: ids.into() }
    }

    /// For [`sample`]: what is known of a field.
    pub(crate) fn known(&self, field: &FieldDescriptor) -> Option<Value> {
        let name = match field.parent_message().name() {
            // The owner is to stay.
            "DeactivateAccountRequest" => return None,
            // A definition's name, unlike a product's.
            "GetDefinitionRequest" if field.name() == "name" => "definition",
            _ => field.name(),
        };
        let is_text = matches!(field.kind(), prost_reflect::Kind::String);
        let id = self.ids.get(name).filter(|_| is_text)?;
        Some(Value::String(id.clone()))
    }

    /// A new session of the owner's, since each can be ended only once.
    async fn renew_session(&mut self, world: &World, people: &People) {
        let login = json!({"email": people.owner.email, "password": PASSWORD});
        let session = world.anonymous().post("/v1/sessions", &login).await;
        let session = session.expect(201).json();
        let id = session["sessionId"].as_str().expect("an id").to_owned();
        self.ids.insert("session_id", id);
    }
}

/// Whether what came of a call is what was expected.
fn check(expected: Expected, code: Code, reason: &str) -> Result<(), String> {
    let is_access = matches!(code, Code::Unauthenticated | Code::PermissionDenied)
        && matches!(
            reason,
            "ACCESS_DENIED" | "TOKEN_MISSING" | "TOKEN_INVALID" | "TOKEN_EXPIRED" | "TOKEN_REVOKED"
        );
    let is_fault = matches!(
        code,
        Code::Internal | Code::Unknown | Code::DataLoss | Code::Unimplemented | Code::Unavailable
    );
    let is_good = match expected {
        Expected::LetIn => !is_access && !is_fault,
        Expected::Unauthenticated => code == Code::Unauthenticated && is_access,
        Expected::Denied => code == Code::PermissionDenied && is_access,
        Expected::NotFound => code == Code::NotFound,
    };
    is_good
        .then_some(())
        .ok_or_else(|| format!("{expected:?} was expected, and there came {code:?} {reason}"))
}

fn reason(status: &Status) -> String {
    let info = status.get_details_error_info();
    info.map(|info| info.reason).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_rpc_and_route_lets_in_whom_the_table_names_on_sqlite() {
    every_rpc_and_route_lets_in_whom_the_table_names(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_rpc_and_route_lets_in_whom_the_table_names_on_postgres() {
    every_rpc_and_route_lets_in_whom_the_table_names(Engine::Postgres).await;
}

async fn every_rpc_and_route_lets_in_whom_the_table_names(engine: Engine) {
    let Some(world) = World::start_with(setup(engine)).await else {
        return;
    };
    let mut people = People::of(&world).await;
    let mut objects = Objects::of(&world, &people).await;
    let table = table();
    let mut channels: BTreeMap<String, Channel> = BTreeMap::new();
    let mut faults = Vec::new();
    let mut calls = 0;
    let mut rpcs = contract::rpcs();
    // Ends the tokens of whoever is let in: first, before wrong passwords are tried that keep people from logging in.
    rpcs.sort_by_key(|rpc| !ends_sessions(rpc));
    for rpc in rpcs {
        let Some(row) = table.get(rpc.name()) else {
            continue; // Another test says so.
        };
        // Those who are turned away first: the others change what is there.
        let mut everybody = Who::ALL;
        everybody.sort_by_key(|who| row.expects(*who) == Expected::LetIn);
        for who in everybody {
            let expected = row.expects(who);
            let Some(mut token) = people.token_for(who, &row.scopes()).await else {
                continue;
            };
            for host in rpc.hosts() {
                let channel = channels
                    .entry(host.clone())
                    .or_insert_with(|| wire::channel(&world, &host));
                let message = asked(&rpc, row, &mut objects, &world, &people).await;
                let status = directly(&rpc, channel, &message, token.as_deref()).await;
                calls += 1;
                token = again(token, &rpc, &world, &mut people, who).await;
                if let Err(fault) = check(expected, status.code(), &reason(&status)) {
                    let text = status.message();
                    faults.push(format!(
                        "{host}: {} by {who:?}: {fault}: {text}",
                        rpc.name()
                    ));
                }
            }
            for route in &rpc.routes {
                let message = asked(&rpc, row, &mut objects, &world, &people).await;
                let asked = route.ask(&rpc, &message);
                let (code, reason) = through_rest(&world, &rpc, &asked, token.as_deref()).await;
                calls += 1;
                token = again(token, &rpc, &world, &mut people, who).await;
                if let Err(fault) = check(expected, code, &reason) {
                    faults.push(format!("{} {} by {who:?}: {fault}", asked.verb, asked.path));
                }
            }
        }
    }
    assert!(calls > 500, "{calls}");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn ends_sessions(rpc: &Rpc) -> bool {
    rpc.name() == "identity.v1.IdentityService/EndAllSessions"
}

/// The token, or a new one for who was let in by an rpc that has ended it.
async fn again(
    token: Option<String>,
    rpc: &Rpc,
    world: &World,
    people: &mut People,
    who: Who,
) -> Option<String> {
    if !ends_sessions(rpc) || !who.is_person() {
        return token;
    }
    people.log_in(world, who).await;
    people.token(who).map(str::to_owned)
}

/// The smallest request; it asks for the owner's object where that makes a difference, else for none that is there.
async fn asked(
    rpc: &Rpc,
    row: &Row,
    objects: &mut Objects,
    world: &World,
    people: &People,
) -> DynamicMessage {
    let input = rpc.method.input();
    if input.get_field_by_name("session_id").is_some() {
        objects.renew_session(world, people).await;
    }
    let is_owned = row.has("owner");
    sample(&input, false, &|field| {
        objects.known(field).filter(|_| is_owned)
    })
}

async fn directly(
    rpc: &Rpc,
    channel: &Channel,
    message: &DynamicMessage,
    token: Option<&str>,
) -> Status {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let headers: Vec<_> = bearer
        .iter()
        .map(|bearer| ("authorization", bearer.as_str()))
        .collect();
    let frame = contract::frame(message);
    wire::call(channel, &rpc.path, &headers, frame, rpc.streams()).await
}

/// The code and the reason of an answer of REST.
async fn through_rest(
    world: &World,
    rpc: &Rpc,
    asked: &contract::Asked,
    token: Option<&str>,
) -> (Code, String) {
    let rest = match token {
        Some(token) => world.anonymous().with_token(token),
        None => world.anonymous().clone(),
    };
    let mut request = rest.request(asked.verb.clone(), &asked.target());
    let body = asked.text();
    if !body.is_empty() {
        request = request
            .header("content-type", asked.content_type)
            .body(body);
    }
    if rpc.streams() {
        // Its head says whether it is let in; it goes on.
        let answer = request.send().await.expect("an answer");
        if answer.status().is_success() {
            return (Code::Ok, String::new());
        }
        let text = answer.text().await.expect("a problem");
        return of_problem(&serde_json::from_str(&text).expect("a problem"));
    }
    let answer = try_send(request).await.expect("an answer");
    match answer.status {
        200..300 => (Code::Ok, String::new()),
        // These speak as RFC 6749 has it.
        400..500 if rpc.policy.rest.oauth => (Code::InvalidArgument, String::new()),
        _ => of_problem(&answer.problem()),
    }
}

fn of_problem(problem: &Json) -> (Code, String) {
    let text = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
    let all = (0..=16).map(Code::from_i32);
    let code = all
        .into_iter()
        .find(|code| format!("{code:?}").eq_ignore_ascii_case(&text("code").replace('_', "")));
    (code.unwrap_or(Code::Unknown), text("reason"))
}

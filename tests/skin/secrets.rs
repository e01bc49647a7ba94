//! Secrets are planted, and the mesh is used and misused: afterwards nothing that it printed, stored or sent holds one of them.

use std::{
    collections::{BTreeSet, HashMap},
    convert::Infallible,
    fs,
    future::{Ready, ready},
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use http_body_util::BodyExt as _;
use kit::{
    Engine, World,
    mesh::caravan,
    rest::{Answer, Rest, try_send},
    shop::{Status, an_order},
};
use reqwest::Method;
use serde_json::{Value as Json, json};
use tokio::net::TcpListener;
use tonic::{
    body::Body,
    server::NamedService,
    transport::{Server, server::TcpIncoming},
};

use crate::{contract::escape, people::setup};

/// Shortest piece of a secret that is looked for.
const MIN_BYTES: usize = 8;
/// How the key of a P-256 pair begins (PKCS #8), in hexadecimal.
const PRIVATE_KEY: &str =
    "308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b0201010420";

/// Where identity keeps what it works with.
const IDENTITY: [&str; 2] = ["data/identity", "database identity"];

/// Something that nobody else may read.
#[derive(Clone, Debug)]
struct Secret {
    name: &'static str,
    /// How the names of places begin that work with it, and have it.
    kept_by: &'static [&'static str],
}

/// A secret by its place among all, how it is written, and what that looks like.
type Form = (usize, &'static str, Vec<u8>);

/// What is looked for, by the first bytes of each of its forms.
#[derive(Default)]
struct Secrets {
    all: Vec<Secret>,
    forms: HashMap<[u8; MIN_BYTES], Vec<Form>>,
}

impl Secrets {
    fn plant(&mut self, name: &'static str, text: impl AsRef<[u8]>) {
        self.plant_for(name, text, &[]);
    }

    fn plant_for(
        &mut self,
        name: &'static str,
        text: impl AsRef<[u8]>,
        kept_by: &'static [&'static str],
    ) {
        for (form, bytes) in forms(text.as_ref()) {
            let start = bytes.first_chunk().expect("long enough");
            let entry = self.forms.entry(*start).or_default();
            entry.push((self.all.len(), form, bytes));
        }
        self.all.push(Secret { name, kept_by });
    }

    /// What of them stands in these bytes, in words.
    fn found(&self, place: &str, bytes: &[u8], found: &mut BTreeSet<String>) {
        for (at, window) in bytes.windows(MIN_BYTES).enumerate() {
            let Some(candidates) = self.forms.get(window) else {
                continue;
            };
            for (secret, form, bytes_of_form) in candidates {
                let secret = &self.all[*secret];
                let is_kept = secret
                    .kept_by
                    .iter()
                    .any(|keeper| place.starts_with(keeper));
                if !is_kept && bytes[at..].starts_with(bytes_of_form) {
                    let near = &bytes[at.saturating_sub(80)..(at + 20).min(bytes.len())];
                    let near = String::from_utf8_lossy(near).into_owned();
                    found.insert(format!("{place}: {} as {form}: ...{near:?}", secret.name));
                }
            }
        }
    }
}

/// The forms in which a secret may be written.
fn forms(secret: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let text = String::from_utf8_lossy(secret);
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut forms = vec![
        ("it is", secret.to_vec()),
        ("JSON", json!(text).to_string().trim_matches('"').into()),
        ("URL", escape(&text).into_bytes()),
        ("form", escape(&text).replace("%20", "+").into_bytes()),
        ("hexadecimal", hex.to_uppercase().into_bytes()),
        ("hexadecimal", hex.into_bytes()),
    ];
    // Within something longer a base64 text begins at one of three places of a group.
    for (before, skipped) in [(0, 0), (1, 2), (2, 3)] {
        let whole = (before + secret.len()) / 3 * 3 - before;
        let padded = [&vec![0; before], &secret[..whole]].concat();
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            forms.push(("base64", engine.encode(&padded)[skipped..].into()));
        }
    }
    forms.retain(|(_, bytes)| bytes.len() >= MIN_BYTES);
    forms
}

/// What an OTLP collector gets, as bytes. `TRACES` or else metrics.
#[derive(Clone, Default)]
struct Collector<const TRACES: bool>(Arc<Mutex<Vec<u8>>>);

impl NamedService for Collector<true> {
    const NAME: &'static str = "opentelemetry.proto.collector.trace.v1.TraceService";
}

impl NamedService for Collector<false> {
    const NAME: &'static str = "opentelemetry.proto.collector.metrics.v1.MetricsService";
}

impl<const TRACES: bool> tower::Service<http::Request<Body>> for Collector<TRACES> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<http::Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let got = self.0.clone();
        tokio::spawn(async move {
            if let Ok(body) = request.into_body().collect().await {
                let mut got = got.lock().unwrap_or_else(PoisonError::into_inner);
                got.extend(body.to_bytes());
            }
        });
        // An empty message and the end: the collector has taken everything.
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
        let frame = bytes::Bytes::from_static(&[0; 5]);
        let body = http_body_util::Full::new(frame).with_trailers(ready(Some(Ok(trailers))));
        ready(Ok(http::Response::builder()
            .header("content-type", "application/grpc")
            .body(Body::new(body))
            .expect("well-formed")))
    }
}

/// Starts a collector; answers its URL and what it gets.
async fn collector() -> (String, [Arc<Mutex<Vec<u8>>>; 2]) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let (traces, metrics) = (Collector::<true>::default(), Collector::<false>::default());
    let got = [traces.0.clone(), metrics.0.clone()];
    let server = Server::builder().add_service(traces).add_service(metrics);
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    (url, got)
}

/// The story of one customer, with everything that was answered to whom it was no business.
struct Story<'w> {
    world: &'w World,
    secrets: Secrets,
    answers: Vec<String>,
}

const EMAIL: &str = "grace@example.org";

impl Story<'_> {
    async fn send(&mut self, rest: &Rest, verb: Method, path: &str, body: &Json) -> Answer {
        let request = rest.request(verb, path);
        let request = match body {
            Json::Null => request,
            body => request.json(body),
        };
        let answer = try_send(request).await;
        let answer = answer.expect("an answer");
        self.answers
            .push(format!("{:?} {}", answer.headers, answer.text));
        answer
    }

    async fn post(&mut self, path: &str, body: &Json) -> Answer {
        let anybody = self.world.anonymous().clone();
        self.send(&anybody, Method::POST, path, body).await
    }

    /// Logs in; the tokens of the answer are planted, and the answer is the one that hands them over.
    async fn log_in(&mut self, password: &str) -> Json {
        let login = json!({"email": EMAIL, "password": password});
        let answer = self.world.anonymous().post("/v1/sessions", &login).await;
        self.hold(answer.expect(201).json())
    }

    fn hold(&mut self, session: Json) -> Json {
        let text = |name: &str| session[name].as_str().expect("a token").to_owned();
        self.secrets.plant("an access token", text("accessToken"));
        self.secrets.plant("a refresh token", text("refreshToken"));
        session
    }

    /// The token of the newest mail of this kind.
    fn mailed(&mut self, kind: &str) -> String {
        let output = caravan()
            .arg("--home")
            .arg(self.world.mesh_home())
            .args(["mails", "--json"])
            .output()
            .expect("it runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mails = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Json>(line).ok());
        let mut ours = mails.filter(|mail| mail["to"] == EMAIL && mail["kind"] == kind);
        let token = ours.next_back().map(|mail| mail["token"].clone());
        let complaint = String::from_utf8_lossy(&output.stderr);
        let token = token.unwrap_or_else(|| panic!("no {kind} in {text}: {complaint}"));
        let token = token.as_str().expect("a token").to_owned();
        // docs/security.md: until a mail is answered identity holds its token.
        self.secrets.plant_for("a mail's token", &token, &IDENTITY);
        token
    }

    /// An account's life, with its mistakes.
    async fn account(&mut self) {
        let passwords = ["first", "second", "third", "wrong"]
            .map(|name| format!("planted {name}/Pass+word é {:016x}", fastrand::u64(..)));
        let [first, second, third, wrong] = &passwords;
        for password in &passwords {
            self.secrets.plant("a password", password);
        }
        let account = json!({"email": EMAIL, "password": first, "displayName": "Grace"});
        self.post("/v1/accounts", &account).await.expect(201);
        self.post("/v1/accounts", &account).await.expect(409);
        let verification = self.mailed("MAIL_KIND_EMAIL_VERIFICATION");
        let verify = json!({"token": verification});
        self.post("/v1/accounts:verifyEmail", &verify)
            .await
            .expect(200);
        // Where it does not belong.
        for body in [
            json!({"email": first, "password": first, "displayName": "G"}),
            json!({"email": EMAIL, "password": [first], "displayName": "G"}),
            json!({"email": EMAIL, "passwort": first}),
            json!({"email": EMAIL, "password": first.repeat(20), "displayName": "G"}),
        ] {
            let answer = self.world.anonymous().post("/v1/accounts", &body).await;
            assert_eq!(answer.status, 400, "{}", answer.text);
        }
        let login = json!({"email": EMAIL, "password": wrong});
        self.post("/v1/sessions", &login).await.expect(401);
        let query = format!("/v1/sessions?password={}", escape(wrong));
        self.post(&query, &json!({"email": EMAIL}))
            .await
            .expect(400);
        let half = self.world.anonymous().request(Method::POST, "/v1/sessions");
        let half = half
            .header("content-type", "application/json")
            .body(format!("{{\"password\": \"{wrong}"));
        let answer = try_send(half).await.expect("an answer").expect(400);
        self.answers.push(answer.text);

        let session = self.log_in(first).await;
        let refresh = json!({"refreshToken": session["refreshToken"]});
        let anybody = self.world.anonymous().clone();
        let next = anybody.post("/v1/sessions:refresh", &refresh).await;
        let next = self.hold(next.expect(200).json());
        let me = anybody.with_token(next["accessToken"].as_str().expect("a token"));
        let change = json!({"currentPassword": wrong, "newPassword": second});
        let path = "/v1/accounts/me:changePassword";
        self.send(&me, Method::POST, path, &change)
            .await
            .expect(401);
        let change = json!({"currentPassword": first, "newPassword": second});
        self.send(&me, Method::POST, path, &change)
            .await
            .expect(204);

        let ask = json!({"email": EMAIL});
        self.post("/v1/passwordResets", &ask).await.expect(202);
        let reset = self.mailed("MAIL_KIND_PASSWORD_RESET");
        let confirm = json!({"token": reset, "newPassword": third});
        let path = "/v1/passwordResets:confirm";
        self.post(path, &confirm).await.expect(204);
        self.post(path, &confirm).await.expect(400);
        let session = self.log_in(third).await;
        let token = session["accessToken"].as_str().expect("a token");
        self.send(
            &anybody.with_token(format!("{token}x")),
            Method::GET,
            "/v1/accounts/me",
            &Json::Null,
        )
        .await
        .expect(401);
    }

    /// Orders, paid well and badly.
    async fn orders(&mut self) {
        // Whoever brings it to the provider has it until that is done, and the stream as long as it keeps events.
        const KEEPERS: [&str; 7] = [
            "data/ordering",
            "data/saga",
            "data/payment",
            "database ordering",
            "database saga",
            "database payment",
            "nats/",
        ];
        let cards = [
            ("pm_card_unionpay", Status::Confirmed),
            ("pm_card_chargeDeclinedStolenCard", Status::Rejected),
        ];
        let sku = self.world.product("coffee", 1250, 10).await;
        let ada = self.world.customer("ada").await;
        for (card, status) in cards {
            self.secrets.plant_for("a card", card, &KEEPERS);
            let order = ada
                .place(an_order().line(&sku, 1).card(card).wait(30))
                .await;
            let order = ada.until(&order, status).await;
            let id = &order.order_id;
            for path in [
                format!("/v1/orders/{id}"),
                format!("/v1/orders/{id}/history"),
                format!("/v1/payments?orderId={id}"),
                "/v1/orders".to_owned(),
            ] {
                self.read(&ada.rest, &path).await;
            }
        }
        let lost = format!("pm_card_planted{:016x}", fastrand::u64(..));
        self.secrets.plant("a card that is refused", &lost);
        for body in [
            json!({"lines": [], "paymentMethod": lost}),
            json!({"lines": [{"sku": sku, "quantity": 1}], "paymentMethod": {"card": lost}}),
            json!({"lines": [{"sku": sku, "quantity": 1}], "paymentMethod": lost.repeat(9)}),
        ] {
            let answer = self.send(&ada.rest, Method::POST, "/v1/orders", &body);
            assert_eq!(answer.await.status, 400);
        }
    }

    async fn read(&mut self, rest: &Rest, path: &str) {
        let answer = self.send(rest, Method::GET, path, &Json::Null).await;
        answer.expect(200);
    }

    /// Services and clients with secrets, right and wrong.
    async fn clients(&mut self) {
        for entry in fs::read_dir(self.world.mesh_home().join("secrets")).expect("secrets") {
            let path = entry.expect("a file").path();
            let text = fs::read_to_string(&path).expect("a secret");
            match serde_json::from_str::<HashMap<String, String>>(&text) {
                Ok(clients) => {
                    for secret in clients.values() {
                        self.secrets.plant("a client's secret", secret);
                    }
                }
                Err(_) => self.secrets.plant("a secret of the mesh", text.trim()),
            }
        }
        let wrong = format!("planted-client-secret-{:016x}", fastrand::u64(..));
        self.secrets.plant("a wrong client secret", &wrong);
        let anybody = self.world.anonymous();
        let form = format!("grant_type=client_credentials&client_id=saga&client_secret={wrong}");
        let form = anybody
            .request(Method::POST, "/oauth2/token")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form);
        let basic = anybody
            .request(Method::POST, "/oauth2/token")
            .basic_auth("saga", Some(&wrong))
            .header("content-type", "application/x-www-form-urlencoded")
            .body("grant_type=client_credentials");
        let bearer = anybody
            .with_token(wrong.clone())
            .request(Method::GET, "/v1/orders");
        for request in [form, basic, bearer] {
            let answer = try_send(request).await.expect("an answer");
            assert!((400..500).contains(&answer.status), "{}", answer.text);
            self.answers
                .push(format!("{:?} {}", answer.headers, answer.text));
        }
    }

    /// What operators read.
    async fn operators(&mut self) {
        let admin = self.world.admin().await.clone();
        for path in ["/v1/audit-entries?pageSize=100", "/v1/sagas", "/v1/orders"] {
            self.read(&admin, path).await;
        }
        for process in self.world.status().processes {
            if let Some(address) = process.admin {
                let metrics = Rest::new(format!("http://{address}"));
                let metrics = metrics.get("/metrics").await.expect(200);
                self.answers.push(metrics.text);
            }
        }
    }
}

async fn nothing_tells_a_secret(engine: Engine) {
    let (url, got) = collector().await;
    let password = format!("planted-database-password-{:016x}", fastrand::u64(..));
    // Ours say all that they can; what others log below INFO is theirs.
    let filter = "info,chassis=trace,gateway=trace,identity=trace,catalog=trace,inventory=trace,\
                  ordering=trace,payment=trace,saga=trace,rpc=trace";
    let setup = setup(engine)
        .variable("OTEL_EXPORTER_OTLP_ENDPOINT", &url)
        .variable("RUST_LOG", filter)
        .database_password(&password);
    let Some(mut world) = World::start_with(setup).await else {
        return;
    };
    let mut story = Story {
        world: &world,
        secrets: Secrets::default(),
        answers: Vec::new(),
    };
    story.secrets.plant("the database's password", &password);
    let key: Vec<_> = (0..PRIVATE_KEY.len())
        .step_by(2)
        .filter_map(|at| u8::from_str_radix(&PRIVATE_KEY[at..at + 2], 16).ok())
        .collect();
    // docs/security.md: whoever can read identity's database can sign.
    story.secrets.plant_for("a private key", key, &IDENTITY);
    story.clients().await;
    story.account().await;
    story.orders().await;
    story.operators().await;
    let Story {
        secrets, answers, ..
    } = story;

    let mut found = BTreeSet::new();
    for (place, bytes) in world.stored() {
        secrets.found(&place, &bytes, &mut found);
    }
    for answer in &answers {
        secrets.found("an answer", answer.as_bytes(), &mut found);
    }
    // Spans are sent in batches, the last ones at the end.
    world.mesh().stop();
    secrets.found("what was printed", world.raw_log().as_bytes(), &mut found);
    for (name, got) in ["traces", "metrics"].iter().zip(got) {
        let got = got.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(got.len() > 1_000, "{name}: {}", got.len());
        secrets.found(name, &got, &mut found);
    }
    let found: Vec<_> = found.into_iter().collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn nothing_tells_a_secret_on_sqlite() {
    nothing_tells_a_secret(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn nothing_tells_a_secret_on_postgres() {
    nothing_tells_a_secret(Engine::Postgres).await;
}

#[test]
fn every_form_of_a_secret_is_found() {
    let mut secrets = Secrets::default();
    let secret = "planted Pass/word+é 0123";
    secrets.plant("it", secret);
    let hex: String = secret.bytes().map(|byte| format!("{byte:02X}")).collect();
    for text in [
        format!("before {secret} after"),
        json!({ "password": secret }).to_string(),
        format!("?password={}", escape(secret)),
        STANDARD_NO_PAD.encode(format!("a{secret}z")),
        URL_SAFE_NO_PAD.encode(format!("ab{secret}z")),
        hex,
    ] {
        let mut found = BTreeSet::new();
        secrets.found("here", text.as_bytes(), &mut found);
        assert!(!found.is_empty(), "{text}");
    }
}

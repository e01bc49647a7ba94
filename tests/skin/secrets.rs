//! Secrets are planted, and the mesh is used and misused: afterwards nothing that it printed, stored or sent holds one of them.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    sync::PoisonError,
};

use kit::{
    Engine, World,
    mesh::caravan,
    rest::{Answer, Rest, try_send},
    shop::{Status, an_order},
};
use reqwest::Method;
use serde_json::{Value as Json, json};

use crate::{collector::collector, contract::escape, people::setup, planted::Secrets};

/// How the key of a P-256 pair begins (PKCS #8), in hexadecimal.
const PRIVATE_KEY: &str =
    "308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b0201010420";

/// Where identity keeps what it works with.
const IDENTITY: [&str; 2] = ["data/identity", "database identity"];

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

//! Every way to forge a token that the field knows, through REST and directly at each service's gRPC port. Each attack is made of
//! a token that is good, signed with the mesh's own key where an outsider could not: so what is refused is the attack.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, get_current_timestamp};
use kit::World;
use sea_orm::{ConnectionTrait as _, Database, DbBackend, Statement};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tonic::Code;
use uuid::Uuid;

use crate::wire::{bearing, everywhere, services};

/// What an admin may read.
const PATH: &str = "/v1/signing-keys";

/// A token in its parts, to be taken apart and put together wrongly.
struct Forge {
    /// The mesh's own key.
    key: EncodingKey,
    /// Its public half, as anybody gets it.
    public: Value,
    claims: Value,
    /// A key of the attacker's.
    own: EncodingKey,
    own_public: Value,
    /// Where the attacker publishes it.
    own_url: String,
}

impl Forge {
    async fn new(world: &World, own_url: String) -> Self {
        let public = world.anonymous().get("/.well-known/jwks.json").await;
        let public = public.expect(200).json()["keys"][0].clone();
        let admin = world.admin().await.token().expect("logged in").to_owned();
        let data = jsonwebtoken::dangerous::insecure_decode::<Value>(&admin);
        let mut claims = data.expect("a token").claims;
        // Of a key that is newer than what it has last been told nobody says more than that it cannot be checked now.
        claims["iat"] = json!(get_current_timestamp() - 60);
        let (own, own_public) = attackers_key();
        Self {
            key: EncodingKey::from_ec_der(&private_key(world).await),
            public,
            claims,
            own,
            own_public,
            own_url,
        }
    }

    fn kid(&self) -> &str {
        self.public["kid"].as_str().expect("a text")
    }

    fn header(&self) -> Value {
        json!({"typ": "at+jwt", "alg": "ES256", "kid": self.kid()})
    }

    /// A token whose header and claims are what they are, signed as ES256.
    fn sign(&self, key: &EncodingKey, header: &Value, claims: &Value) -> String {
        let message = unsigned(header, claims);
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), key, Algorithm::ES256);
        format!("{message}.{}", signature.expect("signed"))
    }

    fn good(&self) -> String {
        self.sign(&self.key, &self.header(), &self.claims)
    }

    /// Signed with the mesh's key, but for another claim.
    fn with(&self, claim: &str, value: Value) -> String {
        let mut claims = self.claims.clone();
        claims[claim] = value;
        self.sign(&self.key, &self.header(), &claims)
    }

    /// Signed with the mesh's key, but for another header.
    fn headed(&self, name: &str, value: Value) -> String {
        let mut header = self.header();
        header[name] = value;
        self.sign(&self.key, &header, &self.claims)
    }

    /// Signed with the attacker's key, which the header recommends.
    fn recommended(&self, kid: &str, name: &str, value: Value) -> String {
        let mut header = self.header();
        header["kid"] = kid.into();
        header[name] = value;
        self.sign(&self.own, &header, &self.claims)
    }

    /// As HS256, with what everybody knows for a secret.
    fn hmac(&self, secret: &[u8]) -> String {
        let mut header = Header::new(Algorithm::HS256);
        header.typ = Some("at+jwt".into());
        header.kid = Some(self.kid().into());
        let secret = EncodingKey::from_secret(secret);
        jsonwebtoken::encode(&header, &self.claims, &secret).expect("signed")
    }

    fn attacks(&self, refresh_token: String) -> Vec<(String, String)> {
        let now = get_current_timestamp();
        let good = self.good();
        let (message, signature) = good.rsplit_once('.').expect("a JWT");
        let first = if signature.starts_with('A') { 'B' } else { 'A' };
        let mut admin = self.claims.clone();
        admin["sub"] = json!(Uuid::now_v7());
        let of_this_header = message.split('.').next().expect("a header");
        let changed = URL_SAFE_NO_PAD.encode(admin.to_string());
        let point = |name: &str| self.public[name].as_str().expect("a text");
        let decoded = |name: &str| URL_SAFE_NO_PAD.decode(point(name)).expect("base64");
        let mut uncompressed = vec![4];
        uncompressed.extend(decoded("x").into_iter().chain(decoded("y")));
        let mut attacks: Vec<(&str, String)> = vec![
            ("nothing", String::new()),
            (
                "signature flipped",
                format!("{message}.{first}{}", &signature[1..]),
            ),
            ("signature left out", format!("{message}.")),
            (
                "claims changed",
                format!("{of_this_header}.{changed}.{signature}"),
            ),
            ("HS256 with the key's point", self.hmac(&uncompressed)),
            ("HS256 with its x", self.hmac(point("x").as_bytes())),
            (
                "HS256 with the JWK",
                self.hmac(self.public.to_string().as_bytes()),
            ),
            ("expired", self.with("exp", json!(now - 60))),
            ("no end", self.with("exp", Value::Null)),
            ("not yet valid", self.with("nbf", json!(now + 600))),
            ("wrong audience", self.with("aud", json!("another shop"))),
            ("no audience", self.with("aud", Value::Null)),
            (
                "wrong issuer",
                self.with("iss", json!("https://evil.example.com")),
            ),
            ("no issuer", self.with("iss", Value::Null)),
            ("refresh token", refresh_token),
            ("another kind of token", self.headed("typ", json!("JWT"))),
            ("critical extension", self.headed("crit", json!(["b64"]))),
            (
                "longer than anybody's",
                self.with("roles", json!(["x".repeat(6_500)])),
            ),
            (
                "stranger's key",
                self.recommended(self.kid(), "cty", json!("JWT")),
            ),
            (
                "embedded jwk",
                self.recommended(self.kid(), "jwk", self.own_public.clone()),
            ),
            (
                "embedded jwk of its own id",
                self.recommended("evil", "jwk", self.own_public.clone()),
            ),
            ("jku", self.recommended("evil", "jku", json!(self.own_url))),
            (
                "jku beside a known id",
                self.recommended(self.kid(), "jku", json!(self.own_url)),
            ),
            ("x5u", self.recommended("evil", "x5u", json!(self.own_url))),
            ("x5c", self.recommended(self.kid(), "x5c", json!(["AAAA"]))),
        ];
        for alg in ["none", "None", "nOnE", "NONE", ""] {
            let mut header = self.header();
            header["alg"] = alg.into();
            attacks.push(("alg none", format!("{}.", unsigned(&header, &self.claims))));
            attacks.push((
                "alg none, signed",
                format!("{}.{signature}", unsigned(&header, &self.claims)),
            ));
        }
        for kid in [
            "../../../../dev/null",
            "/proc/self/environ",
            "' OR '1'='1",
            "evil",
            "",
            "\u{0}",
        ] {
            let token = self.recommended(kid, "cty", json!("JWT"));
            attacks.push(("kid", token));
        }
        for alg in ["RS256", "PS256", "ES384", "EdDSA", "HS512"] {
            attacks.push(("another alg", self.headed("alg", json!(alg))));
        }
        let named = attacks.into_iter().enumerate();
        named
            .map(|(place, (name, token))| (format!("{place}: {name}"), token))
            .collect()
    }
}

fn unsigned(header: &Value, claims: &Value) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", encode(header), encode(claims))
}

/// A key that nobody in the mesh has heard of.
fn attackers_key() -> (EncodingKey, Value) {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
    let random = aws_lc_rs::rand::SystemRandom::new();
    let kind = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(kind, &random).expect("randomness");
    let pair = EcdsaKeyPair::from_pkcs8(kind, pkcs8.as_ref()).expect("just made");
    let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
    let encode = |part: &[u8]| URL_SAFE_NO_PAD.encode(part);
    let public = json!({"kty": "EC", "crv": "P-256", "kid": "evil", "use": "sig", "alg": "ES256", "x": encode(x), "y": encode(y)});
    (EncodingKey::from_ec_der(pkcs8.as_ref()), public)
}

/// The key that identity signs with, from its database.
async fn private_key(world: &World) -> Vec<u8> {
    let file = world.mesh_home().join("data/identity.db");
    let url = format!("sqlite:{}?mode=ro", file.display());
    let database = Database::connect(url).await.expect("identity's file");
    let sql = "SELECT private_key FROM signing_keys ORDER BY generation DESC LIMIT 1";
    let row = database
        .query_one_raw(Statement::from_string(DbBackend::Sqlite, sql))
        .await
        .expect("readable")
        .expect("one key");
    row.try_get("", "private_key").expect("bytes")
}

/// An HTTP server that counts who asks it for keys.
async fn trap() -> (String, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/keys", listener.local_addr().expect("bound"));
    let asked = Arc::new(AtomicU32::new(0));
    let count = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\n\r\n").await;
        }
    });
    (url, asked)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_forged_token_opens_no_door() {
    let world = World::start().await;
    let (url, asked) = trap().await;
    let forge = Forge::new(&world, url).await;
    let services = services(&world);
    assert_eq!(services.len(), 6, "{services:?}");

    let ada = world.customer("ada").await;
    let login = json!({"email": ada.email, "password": kit::shop::PASSWORD});
    let session = world.anonymous().post("/v1/sessions", &login).await;
    let session = session.expect(201).json();
    let refresh = session["refreshToken"].as_str().expect("a text").to_owned();

    let good = forge.good();
    let is_open = async || {
        bearing(&world, &good).get(PATH).await.expect(200);
        for (name, code) in everywhere(&services, &good).await {
            assert_eq!(code, Code::Ok, "{name}");
        }
    };
    is_open().await;
    for (attack, token) in forge.attacks(refresh) {
        let answer = bearing(&world, &token).get(PATH).await;
        assert_eq!(answer.status, 401, "{attack}: {}", answer.text);
        let challenge = answer.header("www-authenticate");
        assert!(challenge.starts_with("Bearer"), "{attack}: {challenge}");
        for (name, code) in everywhere(&services, &token).await {
            assert_eq!(code, Code::Unauthenticated, "{attack} at {name}");
        }
    }
    is_open().await;
    assert_eq!(
        asked.load(Ordering::SeqCst),
        0,
        "nobody fetches keys from where a token says"
    );
}

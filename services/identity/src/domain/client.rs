//! A system that calls the shop under a name of its own.

use std::collections::BTreeSet;

use time::{Duration, OffsetDateTime};
use uuid::Uuid;

/// The scope of a service of the mesh: what it may do is what services may.
pub const MESH: &str = "mesh";
/// Lets a client ask what tokens of others are good for.
pub const INTROSPECT: &str = "tokens:introspect";
/// Lets a client revoke tokens of others.
pub const REVOKE: &str = "tokens:revoke";

/// The hash of a secret. Secrets are long and random: nobody finds one by guessing, whatever the hash costs.
pub type SecretHash = [u8; 32];

/// Why a client cannot be as it is wanted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// No rpc takes it.
    #[error("`{0}` is no scope; there are {1}")]
    UnknownScope(String, String),
    /// A service of the mesh may what services may, and nothing else.
    #[error("`{MESH}` stands alone: services of the mesh have no other scopes")]
    NotAlone,
}

/// A client as its row has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// UUIDv7; the order of lists.
    pub id: Uuid,
    /// The name that it shows.
    pub client_id: String,
    /// For people.
    pub description: String,
    /// What its tokens may have; never empty.
    pub scopes: BTreeSet<String>,
    /// The hash of its secret.
    pub secret: SecretHash,
    /// When that was made.
    pub secret_made: OffsetDateTime,
    /// The hash of the secret before, and until when it is good too.
    pub previous: Option<(SecretHash, OffsetDateTime)>,
    /// Gets no tokens.
    pub is_disabled: bool,
    /// When it was made.
    pub created: OffsetDateTime,
    /// Counts its changes.
    pub version: i64,
}

impl Client {
    /// A new client. `known` are the scopes that mean anything.
    ///
    /// # Errors
    /// A scope is not known, or [`MESH`] has company.
    pub fn create(
        (id, client_id, description): (Uuid, String, String),
        scopes: BTreeSet<String>,
        known: &BTreeSet<&str>,
        secret: SecretHash,
        now: OffsetDateTime,
    ) -> Result<Self, ClientError> {
        if let Some(unknown) = scopes.iter().find(|scope| !known.contains(scope.as_str())) {
            let known: Vec<_> = known.iter().copied().collect();
            return Err(ClientError::UnknownScope(unknown.clone(), known.join(", ")));
        }
        if scopes.contains(MESH) && scopes.len() > 1 {
            return Err(ClientError::NotAlone);
        }
        Ok(Self {
            id,
            client_id,
            description,
            scopes,
            secret,
            secret_made: now,
            previous: None,
            is_disabled: false,
            created: now,
            version: 1,
        })
    }

    /// Takes a new secret; the old one stays good for a while.
    pub fn rotate(&mut self, secret: SecretHash, keep_previous: Duration, now: OffsetDateTime) {
        let previous = (self.secret, now + keep_previous);
        self.previous = keep_previous.is_positive().then_some(previous);
        self.secret = secret;
        self.secret_made = now;
        self.version += 1;
    }

    /// Lets it get tokens or not. False where nothing changes.
    pub fn set_disabled(&mut self, is_disabled: bool) -> bool {
        let changes = self.is_disabled != is_disabled;
        self.is_disabled = is_disabled;
        self.version += i64::from(changes);
        changes
    }

    /// The hashes that a secret may have now; none of a client that gets no tokens.
    pub fn good_secrets(&self, now: OffsetDateTime) -> impl Iterator<Item = &SecretHash> {
        let previous = self.previous.iter();
        let previous = previous.filter(move |(_, ends)| now < *ends);
        let all = std::iter::once(&self.secret).chain(previous.map(|(hash, _)| hash));
        all.filter(|_| !self.is_disabled)
    }

    /// Whether it is a service of the mesh.
    pub fn is_of_mesh(&self) -> bool {
        self.scopes.contains(MESH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn create(scopes: &[&str]) -> Result<Client, ClientError> {
        Client::create(
            (Uuid::nil(), "erp".into(), String::new()),
            scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            &BTreeSet::from([MESH, "orders:read", "stock:write"]),
            [1; 32],
            START,
        )
    }

    #[test]
    fn scopes_are_known_and_the_meshs_stands_alone() {
        assert!(create(&["orders:read", "stock:write"]).is_ok());
        assert!(create(&[MESH]).expect("fine").is_of_mesh());
        assert_eq!(create(&[MESH, "orders:read"]), Err(ClientError::NotAlone));
        let error = create(&["orders:write"]).expect_err("unknown").to_string();
        assert!(error.contains("orders:write") && error.contains("stock:write"));
    }

    #[test]
    fn an_old_secret_is_good_for_as_long_as_it_is_kept() {
        let mut client = create(&["orders:read"]).expect("fine");
        let good = |client: &Client, now| client.good_secrets(now).copied().collect::<Vec<_>>();
        client.rotate([2; 32], Duration::HOUR, START);
        assert_eq!(good(&client, START), [[2; 32], [1; 32]]);
        assert_eq!(good(&client, START + Duration::HOUR), [[2; 32]]);
        client.rotate([3; 32], Duration::ZERO, START);
        assert_eq!(good(&client, START), [[3; 32]], "nor the one before");
        assert!(client.set_disabled(true) && !client.set_disabled(true));
        assert!(good(&client, START).is_empty());
        assert_eq!(client.version, 4);
    }
}

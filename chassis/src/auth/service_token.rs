//! This service's own token for calls to others: fetched when first needed, renewed before it ends.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use contracts::caravan::identity::v1::{
    IssueTokenRequest, o_auth_service_client::OAuthServiceClient,
};
use http::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Mutex;
use tonic::{Code, Status};

use crate::client::Channel;

/// How services ask for tokens: by their own id and secret (RFC 6749, section 4.4).
const CLIENT_CREDENTIALS: &str = "client_credentials";
/// How much of a token's life passes before it is renewed, in percent.
const RENEW_AFTER_PERCENT: u32 = 80;
/// A token that ends sooner is not sent: it must outlive the call.
const MIN_LEFT: Duration = Duration::from_secs(5);
/// Shortest time between two tries to renew a token that is still good.
const MIN_RETRY: Duration = Duration::from_secs(1);

/// The `authorization` of this service.
pub(crate) struct ServiceToken {
    client_id: String,
    secret: SecretString,
    identity: OAuthServiceClient<Channel>,
    current: ArcSwapOption<Token>,
    /// When identity was last asked. Held while it is asked, so that one asks for all.
    asked: Mutex<Option<Instant>>,
}

struct Token {
    header: HeaderValue,
    renew: Instant,
    end: Instant,
}

impl ServiceToken {
    /// `identity` must be a channel that itself sends no token.
    pub(crate) fn new(client_id: &str, secret: SecretString, identity: Channel) -> Self {
        Self {
            client_id: client_id.to_owned(),
            secret,
            identity: OAuthServiceClient::new(identity),
            current: ArcSwapOption::empty(),
            asked: Mutex::new(None),
        }
    }

    /// The header's value. While identity is away, a token that is not over yet goes on to serve.
    ///
    /// # Errors
    /// Identity cannot be reached, or refuses this service.
    pub(crate) async fn header(&self) -> Result<HeaderValue, Status> {
        let now = Instant::now();
        let usable = |token: &Arc<Token>| now + MIN_LEFT < token.end;
        let current = self.current.load_full().filter(usable);
        if let Some(token) = &current {
            if now < token.renew {
                return Ok(token.header.clone());
            }
            // Due, but good: one renews, the others go on.
            let Ok(mut asked) = self.asked.try_lock() else {
                return Ok(token.header.clone());
            };
            if asked.is_some_and(|asked| asked.elapsed() < MIN_RETRY) {
                return Ok(token.header.clone());
            }
            *asked = Some(now);
            return Ok(self.fetch().await.unwrap_or_else(|_| token.header.clone()));
        }
        let mut asked = self.asked.lock().await;
        // Somebody else may have fetched one while this call waited.
        if let Some(token) = self.current.load_full().filter(usable) {
            return Ok(token.header.clone());
        }
        *asked = Some(now);
        self.fetch().await
    }

    /// Forgets the token if a callee would not have it, so that the next call brings a new one.
    pub(crate) fn refused(&self, header: &HeaderValue) {
        let current = self.current.load();
        if current
            .as_ref()
            .is_some_and(|token| token.header == *header)
        {
            self.current.store(None);
        }
    }

    async fn fetch(&self) -> Result<HeaderValue, Status> {
        let request = IssueTokenRequest {
            grant_type: CLIENT_CREDENTIALS.to_owned(),
            client_id: self.client_id.clone(),
            client_secret: self.secret.expose_secret().to_owned(),
            scope: String::new(),
        };
        let asked = Instant::now();
        let answer = self
            .identity
            .clone()
            .issue_token(request)
            .await
            .inspect_err(|status| {
                tracing::warn!(code = ?status.code(), error = status.message(), "no service token");
            })?;
        let answer = answer.into_inner();
        let mut header = HeaderValue::try_from(format!("Bearer {}", answer.access_token))
            .map_err(|_| Status::new(Code::Internal, "identity sent a token that is no header"))?;
        header.set_sensitive(true);
        let life = Duration::from_secs(u64::try_from(answer.expires_in).unwrap_or(0));
        self.current.store(Some(Arc::new(Token {
            header: header.clone(),
            renew: asked + life * RENEW_AFTER_PERCENT / 100,
            end: asked + life,
        })));
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    use contracts::caravan::identity::v1::IssueTokenResponse;
    use futures::future::join_all;
    use prost::Message as _;

    use super::*;
    use crate::{client::connect_lazy, testing::grpc_double};

    /// Identity as this test needs it: numbers its tokens, and may be away.
    struct Identity {
        given: Arc<AtomicU32>,
        away: Arc<AtomicBool>,
    }

    async fn start() -> (ServiceToken, Identity) {
        let identity = Identity {
            given: Arc::default(),
            away: Arc::default(),
        };
        let (given, away) = (identity.given.clone(), identity.away.clone());
        let url = grpc_double(move |_| {
            if away.load(Ordering::SeqCst) {
                return Err(Status::unavailable("away"));
            }
            let number = given.fetch_add(1, Ordering::SeqCst) + 1;
            let answer = IssueTokenResponse {
                access_token: format!("t{number}"),
                expires_in: 3600,
                ..IssueTokenResponse::default()
            };
            Ok(answer.encode_to_vec())
        })
        .await;
        let channel = Channel::new("identity", connect_lazy(&url.parse().unwrap()), None);
        (ServiceToken::new("saga", "hush".into(), channel), identity)
    }

    /// Makes the token due, with some seconds left.
    fn age(token: &ServiceToken, left_s: u64) {
        let renew = Instant::now();
        let header = token.current.load_full().unwrap().header.clone();
        token.current.store(Some(Arc::new(Token {
            header,
            renew,
            end: renew + Duration::from_secs(left_s),
        })));
    }

    #[tokio::test]
    async fn one_asks_for_all() {
        let (token, identity) = start().await;
        let headers = join_all((0..20).map(|_| token.header())).await;
        assert!(
            headers
                .into_iter()
                .all(|header| header.unwrap() == "Bearer t1")
        );
        assert_eq!(identity.given.load(Ordering::SeqCst), 1);
        assert!(token.header().await.unwrap().is_sensitive());
    }

    #[tokio::test]
    async fn a_due_token_is_renewed_and_serves_on_while_identity_is_away() {
        let (token, identity) = start().await;
        token.header().await.unwrap();
        identity.away.store(true, Ordering::SeqCst);
        age(&token, 60);
        *token.asked.lock().await = None;
        assert_eq!(token.header().await.unwrap(), "Bearer t1");
        identity.away.store(false, Ordering::SeqCst);
        assert_eq!(
            token.header().await.unwrap(),
            "Bearer t1",
            "not asked again so soon"
        );
        *token.asked.lock().await = None;
        assert_eq!(token.header().await.unwrap(), "Bearer t2");
    }

    #[tokio::test]
    async fn a_token_that_ends_or_was_refused_is_replaced() {
        let (token, identity) = start().await;
        let first = token.header().await.unwrap();
        age(&token, 1);
        assert_eq!(token.header().await.unwrap(), "Bearer t2");
        token.refused(&first);
        assert_eq!(
            token.header().await.unwrap(),
            "Bearer t2",
            "the refused one is gone already"
        );
        let second = token.header().await.unwrap();
        token.refused(&second);
        identity.away.store(true, Ordering::SeqCst);
        assert_eq!(token.header().await.unwrap_err().code(), Code::Unavailable);
    }
}

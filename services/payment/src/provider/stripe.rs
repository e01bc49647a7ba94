//! Stripe's HTTP API, as Stripe and the sandbox speak it.

use std::time::Duration;

use futures::{FutureExt as _, future::BoxFuture};
use reqwest::{Client, StatusCode, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use uuid::Uuid;

use super::{Answer, Authorization, Provider, ProviderError};
use crate::domain::payment::Decline;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest wait for a whole answer; below the time that checkout gives a step.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// A client of the provider. Connections are kept and shared.
pub struct Stripe {
    http: Client,
    base: Url,
    key: SecretString,
}

/// The part of a payment intent that we read.
#[derive(Deserialize)]
struct Intent {
    id: String,
    status: String,
}

/// Stripe's error object.
#[derive(Deserialize)]
struct Failure {
    error: Details,
}

#[derive(Default, Deserialize)]
struct Details {
    #[serde(default, rename = "type")]
    kind: String,
    code: Option<String>,
    decline_code: Option<String>,
    param: Option<String>,
    payment_intent: Option<Intent>,
}

impl Stripe {
    /// The provider at `base`, e.g. `https://api.stripe.com/`, with its secret key.
    ///
    /// # Errors
    /// The HTTP client cannot be made.
    pub fn new(base: Url, key: SecretString) -> reqwest::Result<Self> {
        let http = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            .tcp_nodelay(true);
        // A sandbox is reached without TLS: the system's certificates would only cost memory and time.
        let http = match base.scheme() {
            "http" => http.tls_certs_only([]),
            _ => http,
        };
        Ok(Self {
            http: http.build()?,
            base,
            key,
        })
    }

    /// One POST. `Err` in the inner result is the provider's own error object.
    async fn post<T: for<'de> Deserialize<'de>>(
        &self,
        path: &str,
        idempotency_key: Option<String>,
        form: &[(&str, String)],
    ) -> Result<Result<T, (StatusCode, Details)>, ProviderError> {
        let url = self
            .base
            .join(path)
            .map_err(|error| ProviderError::Unexpected {
                status: 0,
                code: error.to_string(),
            })?;
        let mut request = self.http.post(url).bearer_auth(self.key.expose_secret());
        if let Some(key) = idempotency_key {
            request = request.header("Idempotency-Key", key);
        }
        let response = request.form(form).send().await.map_err(no_answer)?;
        let status = response.status();
        let body = response.bytes().await.map_err(no_answer)?;
        let unreadable = |_| ProviderError::Unexpected {
            status: status.as_u16(),
            code: "unreadable_body".into(),
        };
        if status.is_success() {
            return serde_json::from_slice(&body).map(Ok).map_err(unreadable);
        }
        let details = serde_json::from_slice::<Failure>(&body)
            .map(|failure| failure.error)
            .map_err(unreadable)?;
        Ok(Err((status, details)))
    }

    async fn hold(&self, authorization: Authorization<'_>) -> Result<Answer, ProviderError> {
        let form = [
            ("amount", authorization.amount.minor_units.to_string()),
            (
                "currency",
                authorization.amount.currency_code.to_lowercase(),
            ),
            ("payment_method", authorization.payment_method.to_owned()),
            ("payment_method_types[]", "card".to_owned()),
            ("capture_method", "manual".to_owned()),
            ("confirm", "true".to_owned()),
            // Nobody is there to act, e.g. by 3-D Secure: such a card is declined at once.
            ("error_on_requires_action", "true".to_owned()),
            ("metadata[order_id]", authorization.order_id.to_string()),
            ("metadata[payment_id]", authorization.payment_id.to_string()),
        ];
        let key = format!("{}-authorize", authorization.payment_id);
        match self
            .post::<Intent>("v1/payment_intents", Some(key), &form)
            .await?
        {
            Ok(intent) if intent.status == "requires_capture" => Ok(Answer::Held(intent.id)),
            Ok(intent) => Err(unexpected(StatusCode::OK, &intent.status)),
            Err((_, details)) if details.kind == "card_error" => {
                let code = details.decline_code.or(details.code);
                Ok(declined(code.as_deref().unwrap_or("card_declined"), false))
            }
            Err((status, details)) if is_unknown_method(status, &details) => Ok(declined(
                details.code.as_deref().unwrap_or("resource_missing"),
                true,
            )),
            Err((_, details)) if is_unfit_amount(&details) => {
                let code = details.code.as_deref();
                Ok(declined(code.unwrap_or("currency_invalid"), false))
            }
            Err((status, details)) => Err(unexpected(status, &code_of(&details))),
        }
    }

    /// A call that ends with the intent in `wanted`; also where an earlier call has brought it there.
    ///
    /// It carries no Idempotency-Key: the intent's own state lets it happen once, while under a key two calls at a time would
    /// collide and a stored 500 would be the answer for a day.
    async fn move_to(&self, wanted: &str, path: String) -> Result<(), ProviderError> {
        let (status, intent, code) = match self.post::<Intent>(&path, None, &[]).await? {
            Ok(intent) => (StatusCode::OK, Some(intent), String::new()),
            Err((status, details)) => {
                let code = code_of(&details);
                (status, details.payment_intent, code)
            }
        };
        match intent {
            Some(intent) if intent.status == wanted => Ok(()),
            Some(intent) if matches!(intent.status.as_str(), "succeeded" | "canceled") => {
                Err(ProviderError::Ended(intent.status))
            }
            Some(intent) => Err(unexpected(status, &intent.status)),
            None => Err(unexpected(status, &code)),
        }
    }

    async fn send_back(&self, payment_id: Uuid, reference: &str) -> Result<(), ProviderError> {
        #[derive(Deserialize)]
        struct Refund {
            status: String,
        }
        let form = [("payment_intent", reference.to_owned())];
        let key = format!("{payment_id}-refund");
        match self.post::<Refund>("v1/refunds", Some(key), &form).await? {
            Ok(refund) if matches!(refund.status.as_str(), "succeeded" | "pending") => Ok(()),
            Ok(refund) => Err(unexpected(StatusCode::OK, &refund.status)),
            Err((_, details)) if details.code.as_deref() == Some("charge_already_refunded") => {
                Ok(())
            }
            Err((status, details)) => Err(unexpected(status, &code_of(&details))),
        }
    }
}

impl Provider for Stripe {
    fn authorize<'a>(
        &'a self,
        authorization: Authorization<'a>,
    ) -> BoxFuture<'a, Result<Answer, ProviderError>> {
        self.hold(authorization).boxed()
    }

    fn capture<'a>(&'a self, reference: &'a str) -> BoxFuture<'a, Result<(), ProviderError>> {
        let path = format!("v1/payment_intents/{reference}/capture");
        self.move_to("succeeded", path).boxed()
    }

    fn cancel<'a>(&'a self, reference: &'a str) -> BoxFuture<'a, Result<(), ProviderError>> {
        let path = format!("v1/payment_intents/{reference}/cancel");
        self.move_to("canceled", path).boxed()
    }

    fn refund<'a>(
        &'a self,
        payment_id: Uuid,
        reference: &'a str,
    ) -> BoxFuture<'a, Result<(), ProviderError>> {
        self.send_back(payment_id, reference).boxed()
    }
}

fn is_unknown_method(status: StatusCode, details: &Details) -> bool {
    status.is_client_error()
        && details.kind == "invalid_request_error"
        && details.param.as_deref() == Some("payment_method")
}

/// The provider moves no such amount: too little, too much, or of a currency that it does not know.
fn is_unfit_amount(details: &Details) -> bool {
    let code = details.code.as_deref();
    matches!(code, Some("amount_too_small" | "amount_too_large"))
        || details.param.as_deref() == Some("currency")
}

fn declined(code: &str, method_unknown: bool) -> Answer {
    Answer::Declined(Decline {
        code: code.to_owned(),
        method_unknown,
    })
}

fn code_of(details: &Details) -> String {
    details.code.clone().unwrap_or_else(|| details.kind.clone())
}

fn unexpected(status: StatusCode, code: &str) -> ProviderError {
    ProviderError::Unexpected {
        status: status.as_u16(),
        code: code.to_owned(),
    }
}

/// The address says nothing that the cause does not, and does not belong into logs.
fn no_answer(error: reqwest::Error) -> ProviderError {
    ProviderError::NoAnswer(error.without_url())
}

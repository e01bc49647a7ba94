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
            .tcp_nodelay(true)
            .build()?;
        Ok(Self { http, base, key })
    }

    /// One POST. `Err` in the inner result is the provider's own error object.
    async fn post<T: for<'de> Deserialize<'de>>(
        &self,
        path: &str,
        idempotency_key: String,
        form: &[(&str, String)],
    ) -> Result<Result<T, (StatusCode, Details)>, ProviderError> {
        let url = self
            .base
            .join(path)
            .map_err(|error| ProviderError::Unexpected {
                status: 0,
                code: error.to_string(),
            })?;
        let response = self
            .http
            .post(url)
            .bearer_auth(self.key.expose_secret())
            .header("Idempotency-Key", idempotency_key)
            .form(form)
            .send()
            .await
            .map_err(no_answer)?;
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
            ("metadata[order_id]", authorization.order_id.to_string()),
            ("metadata[payment_id]", authorization.payment_id.to_string()),
        ];
        let key = format!("{}-authorize", authorization.payment_id);
        match self
            .post::<Intent>("v1/payment_intents", key, &form)
            .await?
        {
            Ok(intent) if intent.status == "requires_capture" => Ok(Answer::Held(intent.id)),
            // The customer would have to act, e.g. by 3-D Secure; nobody is there to do it.
            Ok(intent) if intent.status == "requires_action" => {
                Ok(declined("authentication_required", false))
            }
            Ok(intent) => Err(unexpected(StatusCode::OK, &intent.status)),
            Err((_, details)) if details.kind == "card_error" => {
                let code = details.decline_code.or(details.code);
                Ok(declined(code.as_deref().unwrap_or("card_declined"), false))
            }
            Err((status, details)) if is_unknown_method(status, &details) => Ok(declined(
                details.code.as_deref().unwrap_or("resource_missing"),
                true,
            )),
            Err((status, details)) => Err(unexpected(status, &code_of(&details))),
        }
    }

    /// A call that ends with the intent in `wanted`; also where an earlier call has brought it there.
    async fn move_to(&self, wanted: &str, path: String, key: String) -> Result<(), ProviderError> {
        match self.post::<Intent>(&path, key, &[]).await? {
            Ok(intent) if intent.status == wanted => Ok(()),
            Ok(intent) => Err(unexpected(StatusCode::OK, &intent.status)),
            Err((_, details))
                if details
                    .payment_intent
                    .as_ref()
                    .is_some_and(|intent| intent.status == wanted) =>
            {
                Ok(())
            }
            Err((status, details)) => Err(unexpected(status, &code_of(&details))),
        }
    }

    async fn send_back(&self, payment_id: Uuid, reference: &str) -> Result<(), ProviderError> {
        #[derive(Deserialize)]
        struct Refund {
            status: String,
        }
        let form = [("payment_intent", reference.to_owned())];
        match self
            .post::<Refund>("v1/refunds", format!("{payment_id}-refund"), &form)
            .await?
        {
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

    fn capture<'a>(
        &'a self,
        payment_id: Uuid,
        reference: &'a str,
    ) -> BoxFuture<'a, Result<(), ProviderError>> {
        let path = format!("v1/payment_intents/{reference}/capture");
        self.move_to("succeeded", path, format!("{payment_id}-capture"))
            .boxed()
    }

    fn cancel<'a>(
        &'a self,
        payment_id: Uuid,
        reference: &'a str,
    ) -> BoxFuture<'a, Result<(), ProviderError>> {
        let path = format!("v1/payment_intents/{reference}/cancel");
        self.move_to("canceled", path, format!("{payment_id}-cancel"))
            .boxed()
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

//! Access tokens of the demo customer and of the admin.

use anyhow::{Context as _, bail};
use http::{Method, StatusCode};
use serde_json::json;

use super::Shop;
use crate::http::Call;
use crate::mesh::secrets::{ADMIN_EMAIL, CUSTOMER_EMAIL, Secrets};

impl Shop {
    /// An access token of the admin that identity made at its first boot.
    ///
    /// # Errors
    /// Where the login is refused or nobody answers.
    pub async fn admin_token(&self, secrets: &Secrets) -> anyhow::Result<String> {
        let password = std::fs::read_to_string(secrets.admin_password())
            .context("cannot read the admin's password")?;
        let token = self.log_in(ADMIN_EMAIL, password.trim()).await?;
        token.with_context(|| {
            format!("{ADMIN_EMAIL} is refused: does the data of this home belong to other secrets?")
        })
    }

    /// An access token of the demo customer, who is registered first where needed.
    ///
    /// # Errors
    /// Where the login is refused or nobody answers.
    pub async fn customer_token(&self, secrets: &Secrets) -> anyhow::Result<String> {
        let password = secrets.customer_password()?;
        if let Some(token) = self.log_in(CUSTOMER_EMAIL, &password).await? {
            return Ok(token);
        }
        let body =
            json!({"email": CUSTOMER_EMAIL, "password": password, "displayName": "Demo Customer"});
        let answer = self
            .send(&Call::send(Method::POST, "/v1/accounts", &body))
            .await?;
        // Registered by somebody else in between is as good.
        if !answer.status.is_success() && answer.status != StatusCode::CONFLICT {
            bail!("cannot register {CUSTOMER_EMAIL}: {}", answer.problem());
        }
        let token = self.log_in(CUSTOMER_EMAIL, &password).await?;
        token.with_context(|| {
            format!(
                "{CUSTOMER_EMAIL} is refused: does the data of this home belong to other secrets?"
            )
        })
    }

    /// None where e-mail and password do not fit.
    async fn log_in(&self, email: &str, password: &str) -> anyhow::Result<Option<String>> {
        let body = json!({"email": email, "password": password});
        let answer = self
            .send(&Call::send(Method::POST, "/v1/sessions", &body))
            .await?;
        if answer.status == StatusCode::UNAUTHORIZED {
            return Ok(None);
        }
        if !answer.status.is_success() {
            bail!("cannot log in as {email}: {}", answer.problem());
        }
        let session = answer.json()?;
        if session
            .get("secondFactorChallenge")
            .is_some_and(|challenge| !challenge.is_null())
        {
            bail!(
                "{email} has a second factor: log in by POST /v1/sessions and /v1/sessions:verifySecondFactor"
            );
        }
        let token = session["accessToken"]
            .as_str()
            .context("the answer to a login has no accessToken")?;
        Ok(Some(token.to_owned()))
    }
}

//! Access tokens of the demo customer and of the admin.

use std::fmt;
use std::io::{IsTerminal as _, Write as _};

use anyhow::{Context as _, bail};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::Shop;
use crate::http::Call;
use crate::mesh::secrets::{ADMIN_EMAIL, CUSTOMER_EMAIL, Secrets};

/// Characters of the codes of authenticator apps; recovery codes have more.
const CODE_CHARS: usize = 6;

/// Options of commands that log in as the admin.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct SecondFactor {
    /// What the admin's authenticator app shows, or a recovery code, where the admin has a second factor. Who is at a terminal
    /// is asked for it. Later commands go on with the same login.
    #[arg(
        long,
        global = true,
        env = "CARAVAN_CODE",
        hide_env_values = true,
        value_name = "CODE"
    )]
    code: Option<String>,
}

impl SecondFactor {
    /// The code that was given, or that somebody types now.
    fn code(&self) -> anyhow::Result<Option<String>> {
        if self.code.is_some() || !std::io::stdin().is_terminal() {
            return Ok(self.code.clone());
        }
        let mut terminal = std::io::stderr();
        write!(terminal, "Code for {ADMIN_EMAIL}: ")?;
        terminal.flush()?;
        let mut line = String::new();
        std::io::stdin().read_line(&mut line)?;
        Ok(Some(line))
    }
}

/// The admin's password is not enough.
#[derive(Clone, Copy, Debug)]
pub struct NeedsCode;

impl std::error::Error for NeedsCode {}

impl fmt::Display for NeedsCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{ADMIN_EMAIL} has a second factor: say what the app shows with --code (or CARAVAN_CODE)"
        )
    }
}

/// What a login comes to.
enum Login {
    /// The tokens.
    In(Value),
    /// E-mail and password do not fit.
    Wrong,
    /// A code is asked for: the challenge to show it with.
    Challenged(String),
}

impl Shop {
    /// An access token of the admin that identity made at its first boot. A login with a second factor is kept, since each code
    /// is good once; `factor` is where the code comes from, where there may be one.
    ///
    /// # Errors
    /// [`NeedsCode`]; the login is refused, or nobody answers.
    pub async fn admin_token(
        &self,
        secrets: &Secrets,
        factor: Option<&SecondFactor>,
    ) -> anyhow::Result<String> {
        if let Some(session) = self.kept_session(secrets).await? {
            return access_token(&session);
        }
        let password = std::fs::read_to_string(secrets.admin_password())
            .context("cannot read the admin's password")?;
        match self.log_in(ADMIN_EMAIL, password.trim()).await? {
            Login::In(session) => access_token(&session),
            Login::Wrong => Err(strange(ADMIN_EMAIL)),
            Login::Challenged(challenge) => {
                let code = factor.map(SecondFactor::code).transpose()?.flatten();
                let code = code.ok_or(NeedsCode)?;
                let session = self.show_code(&challenge, code.trim()).await?;
                keep(secrets, &session)?;
                access_token(&session)
            }
        }
    }

    /// An access token of the demo customer, who is registered first where needed.
    ///
    /// # Errors
    /// Where the login is refused or nobody answers.
    pub async fn customer_token(&self, secrets: &Secrets) -> anyhow::Result<String> {
        let password = secrets.customer_password()?;
        let mut login = self.log_in(CUSTOMER_EMAIL, &password).await?;
        if let Login::Wrong = login {
            let body = json!({"email": CUSTOMER_EMAIL, "password": password, "displayName": "Demo Customer"});
            let answer = self
                .send(&Call::send(Method::POST, "/v1/accounts", &body))
                .await?;
            // Registered by somebody else in between is as good.
            if !answer.status.is_success() && answer.status != StatusCode::CONFLICT {
                bail!("cannot register {CUSTOMER_EMAIL}: {}", answer.problem());
            }
            login = self.log_in(CUSTOMER_EMAIL, &password).await?;
        }
        match login {
            Login::In(session) => access_token(&session),
            Login::Wrong => Err(strange(CUSTOMER_EMAIL)),
            Login::Challenged(_) => bail!(
                "{CUSTOMER_EMAIL} has a second factor: log in by POST /v1/sessions and /v1/sessions:verifySecondFactor"
            ),
        }
    }

    async fn log_in(&self, email: &str, password: &str) -> anyhow::Result<Login> {
        let body = json!({"email": email, "password": password});
        let call = Call::send(Method::POST, "/v1/sessions", &body);
        let answer = self.send(&call).await?;
        if answer.status == StatusCode::UNAUTHORIZED {
            return Ok(Login::Wrong);
        }
        if !answer.status.is_success() {
            bail!("cannot log in as {email}: {}", answer.problem());
        }
        let session = answer.json()?;
        let challenge = session["secondFactorChallenge"]["challengeToken"].as_str();
        Ok(match challenge {
            Some(challenge) => Login::Challenged(challenge.to_owned()),
            None => Login::In(session),
        })
    }

    async fn show_code(&self, challenge: &str, code: &str) -> anyhow::Result<Value> {
        let kind = match code.len() {
            CODE_CHARS => "code",
            _ => "recoveryCode",
        };
        let body = json!({"challengeToken": challenge, kind: code});
        let path = "/v1/sessions:verifySecondFactor";
        let call = Call::send(Method::POST, path, &body);
        self.expect(&format!("log in as {ADMIN_EMAIL}"), &call)
            .await
    }

    /// The login that was kept, gone on with; `None` where there is none that is good.
    async fn kept_session(&self, secrets: &Secrets) -> anyhow::Result<Option<Value>> {
        let Some(token) = secrets.admin_session()? else {
            return Ok(None);
        };
        let body = json!({"refreshToken": token});
        let call = Call::send(Method::POST, "/v1/sessions:refresh", &body);
        let answer = self.send(&call).await?;
        if !answer.status.is_success() {
            return Ok(None);
        }
        let session = answer.json()?;
        keep(secrets, &session)?;
        Ok(Some(session))
    }
}

/// Keeps a login for later commands.
fn keep(secrets: &Secrets, session: &Value) -> anyhow::Result<()> {
    let token = session["refreshToken"].as_str();
    secrets.keep_admin_session(token.context("the answer to a login has no refreshToken")?)
}

fn access_token(session: &Value) -> anyhow::Result<String> {
    let token = session["accessToken"].as_str();
    let token = token.context("the answer to a login has no accessToken")?;
    Ok(token.to_owned())
}

fn strange(email: &str) -> anyhow::Error {
    anyhow::anyhow!("{email} is refused: does the data of this home belong to other secrets?")
}

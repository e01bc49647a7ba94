//! The orchestrator's REST routes behind a gateway: of the mesh of this home, or of any other.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::{Method, Response};
use serde_json::Value;

use crate::command::status::running;
use crate::mesh::home::Home;
use crate::mesh::secrets::Secrets;
use crate::mesh::topology::{Role, Topology};
use crate::shop::{Shop, session::SecondFactor};

/// Longest wait for an answer that is not a stream.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest message of a stream; a saga with its attempts is far smaller.
const MAX_LINE_BYTES: usize = 4 << 20;

/// Where the gateway is and who asks.
#[derive(Clone, Debug, clap::Args)]
pub struct Target {
    /// The gateway's URL; unset: the mesh that runs in --home.
    #[arg(long, global = true, env = "CARAVAN_URL", value_name = "URL")]
    pub url: Option<String>,
    /// The access token of an operator or admin; unset: that of the admin of the mesh in --home.
    #[arg(long, global = true, env = "CARAVAN_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    #[command(flatten)]
    factor: SecondFactor,
}

/// A gateway and a token for it.
#[derive(Debug)]
pub struct Client {
    base: String,
    token: String,
    http: reqwest::Client,
}

impl Client {
    /// The gateway that `target` names, or that of the mesh in the home.
    ///
    /// # Errors
    /// A URL without a token; no mesh runs in the home; its admin cannot log in.
    pub async fn new(target: &Target, home: &Path) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .build()
            .context("cannot make an HTTP client")?;
        let (base, token) = match (&target.url, &target.token) {
            (Some(url), Some(token)) => (url.trim_end_matches('/').to_owned(), token.clone()),
            (Some(_), None) => bail!(
                "--url needs --token (or CARAVAN_TOKEN): an operator's or admin's access token"
            ),
            (None, token) => {
                let home = Home::open(home).context(
                    "start a mesh with `caravan up`, or name one with --url and --token",
                )?;
                let state = running(&home)?;
                let token = match token {
                    Some(token) => token.clone(),
                    None => {
                        let gateway = Topology::new(state.port_base)?.only(Role::Gateway).address;
                        let factor = Some(&target.factor);
                        Shop::new(gateway)
                            .admin_token(&Secrets::of(&home), factor)
                            .await?
                    }
                };
                (state.gateway_url, token)
            }
        };
        Ok(Self { base, token, http })
    }

    /// Reads what is at a path.
    ///
    /// # Errors
    /// No answer, or one that is no success: what it says, with the fields at fault.
    pub async fn get(&self, path: &str, query: &[(&str, String)]) -> anyhow::Result<Value> {
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(query)
            .finish();
        let url = format!("{}?{query}", self.url(path));
        let request = self.http.get(url).timeout(TIMEOUT);
        json(self.send(request).await?).await
    }

    /// Posts to a path.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let request = self.http.request(Method::POST, self.url(path));
        json(self.send(request.json(body).timeout(TIMEOUT)).await?).await
    }

    /// A stream of messages, one JSON text each.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn stream(&self, path: &str) -> anyhow::Result<Lines> {
        let request = self.http.get(self.url(path));
        let request = request.header("accept", "application/x-ndjson");
        Ok(Lines {
            response: self.send(request).await?,
            read: Vec::new(),
        })
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> anyhow::Result<Response> {
        let response = request
            .bearer_auth(&self.token)
            .send()
            .await
            .with_context(|| format!("{} does not answer", self.base))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let problem: Value = response.json().await.unwrap_or_default();
        bail!("{}", explain(status.as_u16(), &problem))
    }
}

async fn json(response: Response) -> anyhow::Result<Value> {
    response.json().await.context("the answer is no JSON")
}

/// What a problem+json says: the fields at fault, one a line, or else its sentence.
fn explain(status: u16, problem: &Value) -> String {
    let violations = problem["violations"].as_array().into_iter().flatten();
    let lines: Vec<_> = violations
        .filter_map(|violation| {
            let field = violation["field"].as_str()?;
            Some(format!("{field}: {}", violation["description"].as_str()?))
        })
        .collect();
    if !lines.is_empty() {
        return lines.join("\n");
    }
    let detail = problem["detail"].as_str().or(problem["title"].as_str());
    detail.map_or_else(|| format!("HTTP status {status}"), str::to_owned)
}

/// The messages of a stream.
#[derive(Debug)]
pub struct Lines {
    response: Response,
    read: Vec<u8>,
}

impl Lines {
    /// The next message; `None` at the stream's end.
    ///
    /// # Errors
    /// A broken connection, a message that is too large or no JSON, and the failure that ended the stream.
    pub async fn next(&mut self) -> anyhow::Result<Option<Value>> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                if line.trim_ascii().is_empty() {
                    continue; // Keeps the connection alive.
                }
                let message: Value =
                    serde_json::from_slice(&line).context("a message of the stream is no JSON")?;
                if let Some(error) = message.get("error") {
                    bail!("{}", explain(0, error));
                }
                return Ok(Some(message));
            }
            if self.read.len() > MAX_LINE_BYTES {
                bail!("a message of the stream is larger than {MAX_LINE_BYTES} bytes");
            }
            match self.response.chunk().await.context("the stream broke")? {
                Some(chunk) => self.read.extend_from_slice(&chunk),
                None => return Ok(None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refusal_is_told_by_its_fields_or_its_sentence() {
        let problem = json!({"detail": "no", "violations": [
            {"field": "steps[0].call", "description": "4:11: step `a`: is wrong"},
            {"field": "name", "description": "is missing"},
        ]});
        assert_eq!(
            explain(400, &problem),
            "steps[0].call: 4:11: step `a`: is wrong\nname: is missing"
        );
        assert_eq!(explain(404, &json!({"detail": "gone"})), "gone");
        assert_eq!(explain(502, &Value::Null), "HTTP status 502");
    }
}

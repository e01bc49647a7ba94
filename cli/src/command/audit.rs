//! `caravan audit`: who did what to whom, in every service.

use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::Context as _;
use contracts::caravan::identity::v1::{
    AuditEntry, ListAuditEntriesRequest, audit_service_client::AuditServiceClient,
};
use serde_json::json;
use tonic::{Request, transport::Endpoint};

use super::{print, status::running};
use crate::mesh::home::Home;
use crate::mesh::secrets::Secrets;
use crate::mesh::topology::{Role, Topology};
use crate::shop::{Shop, session::SecondFactor};

/// Entries of one answer.
const PAGE_ENTRIES: usize = 100;
/// Characters of an account's id.
const ID_CHARS: usize = 36;

/// Options of `caravan audit`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Only what this one did: an account's id, `user:ID`, `service:NAME`, `client:ID` or `anonymous`.
    #[arg(long, value_name = "ACTOR")]
    who: Option<String>,
    /// Only this action, e.g. PRODUCT_RETIRED.
    #[arg(long, value_name = "ACTION")]
    what: Option<String>,
    /// Only what was done to this: the id or name of an account, a product, an order, a saga, ...
    #[arg(long, value_name = "TARGET")]
    whom: Option<String>,
    /// Only what was done in this service.
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Only what was done since then: `90min` ago, or a time like 2026-11-21T12:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<SystemTime>,
    /// Most entries; the newest count.
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: usize,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    factor: SecondFactor,
}

/// A time, or how long ago it was.
fn since(text: &str) -> Result<SystemTime, String> {
    let ago = humantime::parse_duration(text)
        .ok()
        .and_then(|ago| SystemTime::now().checked_sub(ago));
    ago.map_or_else(|| humantime::parse_rfc3339(text), Ok)
        .map_err(|_| "neither like 90min nor like 2026-11-21T12:00:00Z".to_owned())
}

/// Prints entries, the newest last.
///
/// # Errors
/// Where no mesh runs, or identity does not answer.
pub async fn run(args: &Args, home: &Path) -> anyhow::Result<ExitCode> {
    let home = Home::open(home).context("start one with `caravan up`")?;
    let topology = Topology::new(running(&home)?.port_base)?;
    let identity = topology
        .services()
        .find(|node| node.name == "identity")
        .context("this mesh has no identity service")?;
    let endpoint = Endpoint::from_shared(format!("http://{}", identity.address))?;
    let mut client = AuditServiceClient::new(endpoint.connect_lazy());
    let shop = Shop::new(topology.only(Role::Gateway).address);
    let token = shop
        .admin_token(&Secrets::of(&home), Some(&args.factor))
        .await?;
    let mut entries: Vec<AuditEntry> = Vec::new();
    let mut asked = args.request();
    while entries.len() < args.limit {
        let left = (args.limit - entries.len()).min(PAGE_ENTRIES);
        asked.page_size = i32::try_from(left)?;
        let mut request = Request::new(asked.clone());
        request
            .metadata_mut()
            .insert("authorization", format!("Bearer {token}").parse()?);
        let answer = client.list_audit_entries(request).await;
        let page = answer
            .map_err(|status| anyhow::anyhow!("identity: {}", status.message()))?
            .into_inner();
        entries.extend(page.entries);
        asked.page_token = page.next_page_token;
        if asked.page_token.is_empty() {
            break;
        }
    }
    for entry in entries.iter().rev() {
        print(format!("{}\n", line(entry, args.json)).as_bytes());
    }
    Ok(ExitCode::SUCCESS)
}

impl Args {
    fn request(&self) -> ListAuditEntriesRequest {
        let given = |text: &Option<String>| text.clone().unwrap_or_default();
        let is_id = |who: &str| who.len() == ID_CHARS && !who.contains(':');
        ListAuditEntriesRequest {
            actor: match given(&self.who) {
                id if is_id(&id) => format!("user:{id}"),
                label => label,
            },
            action: given(&self.what),
            target: given(&self.whom),
            service: given(&self.service),
            since: self.since.map(Into::into),
            ..ListAuditEntriesRequest::default()
        }
    }
}

fn line(entry: &AuditEntry, as_json: bool) -> String {
    let time = entry.time.map(|time| time.to_string()).unwrap_or_default();
    let AuditEntry {
        actor,
        action,
        service,
        target,
        detail,
        request_id,
        ..
    } = entry;
    if as_json {
        return json!({
            "entryId": entry.entry_id, "time": time, "actor": actor, "action": action, "service": service,
            "target": target, "detail": detail, "requestId": request_id,
        })
        .to_string();
    }
    let line = format!("{time}  {actor}  {service}  {action}  {target}  {detail}");
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_or_how_long_ago_it_was() {
        let hour = std::time::Duration::from_secs(3_600);
        let then = since("1h").expect("an hour");
        let ago = SystemTime::now().duration_since(then);
        assert!(ago.is_ok_and(|ago| ago >= hour && ago < 2 * hour));
        let day = std::time::Duration::from_secs(86_400);
        assert_eq!(
            since("1970-01-02T00:00:00Z"),
            Ok(SystemTime::UNIX_EPOCH + day)
        );
        assert!(since("yesterday").is_err());
    }

    #[test]
    fn an_account_is_named_by_its_id() {
        let id = "01890a5d-ac96-774b-bcce-b302099a8057";
        for (who, actor) in [
            (id, format!("user:{id}")),
            ("service:saga", "service:saga".to_owned()),
        ] {
            let args = Args {
                who: Some(who.to_owned()),
                what: None,
                whom: None,
                service: None,
                since: None,
                limit: 1,
                json: false,
                factor: SecondFactor::default(),
            };
            assert_eq!(args.request().actor, actor);
        }
    }
}

//! `caravan mails`: what would be sent by e-mail, as long as no service sends it.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use contracts::caravan::identity::v1::{
    ListPendingMailsRequest, MailKind, identity_service_client::IdentityServiceClient,
};
use serde_json::json;
use tonic::{Request, transport::Endpoint};

use super::{print, status::running};
use crate::mesh::home::Home;
use crate::mesh::secrets::Secrets;
use crate::mesh::topology::{Role, Topology};
use crate::shop::{Shop, session::SecondFactor};

/// Mails of one answer.
const PAGE_MAILS: i32 = 100;

/// Options of `caravan mails`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    factor: SecondFactor,
}

/// Prints the mails whose tokens are good, oldest first.
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
    let mut client = IdentityServiceClient::new(endpoint.connect_lazy());
    let shop = Shop::new(topology.only(Role::Gateway).address);
    let token = shop
        .admin_token(&Secrets::of(&home), Some(&args.factor))
        .await?;
    let mut after_mail_id = String::new();
    loop {
        let mut request = Request::new(ListPendingMailsRequest {
            after_mail_id,
            page_size: PAGE_MAILS,
        });
        request
            .metadata_mut()
            .insert("authorization", format!("Bearer {token}").parse()?);
        let answer = client.list_pending_mails(request).await;
        let mails = answer
            .map_err(|status| anyhow::anyhow!("identity: {}", status.message()))?
            .into_inner()
            .mails;
        let Some(last) = mails.last() else {
            return Ok(ExitCode::SUCCESS);
        };
        after_mail_id = last.mail_id.clone();
        for mail in &mails {
            let what = match mail.kind() {
                MailKind::EmailVerification => "verify address",
                MailKind::PasswordReset => "reset password",
                MailKind::PasswordChanged => "password changed",
                MailKind::SecondFactorEnabled => "second factor enabled",
                MailKind::SecondFactorDisabled => "second factor disabled",
                MailKind::SecondFactorReset => "second factor reset",
                MailKind::RecoveryCodesChanged => "recovery codes changed",
                MailKind::RolesChanged => "roles changed",
                MailKind::Unspecified => "other",
            };
            let expires = mail.expire_time.map(|time| time.to_string());
            let line = if args.json {
                json!({"to": mail.email, "kind": mail.kind().as_str_name(), "token": mail.token, "expireTime": expires})
                    .to_string()
            } else {
                let time = |time: Option<prost_types::Timestamp>| time.map(|time| time.to_string());
                match &*mail.token {
                    "" => format!(
                        "{}  {what}  at {}",
                        mail.email,
                        time(mail.create_time).unwrap_or_default()
                    ),
                    token => format!(
                        "{}  {what}  {token}  until {}",
                        mail.email,
                        expires.unwrap_or_default()
                    ),
                }
            };
            print(format!("{line}\n").as_bytes());
        }
    }
}

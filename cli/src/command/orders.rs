//! `caravan orders`: what happened to an order, and the read model of all of them made anew.

use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::Context as _;
use clap::Subcommand;
use contracts::caravan::ordering::v1::{
    ListOrderEventsRequest, OrderActor, OrderEvent, RebuildOrdersRequest,
    order_history_service_client::OrderHistoryServiceClient,
};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};

use super::status::running;
use crate::mesh::home::Home;
use crate::mesh::secrets::Secrets;
use crate::mesh::topology::{Role, Topology};
use crate::shop::{Shop, session::SecondFactor};

/// Events of one answer.
const PAGE_EVENTS: i32 = 100;

/// Options of `caravan orders`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
    /// gRPC address of an ordering service outside of the local mesh, e.g. `http://10.0.0.7:50051`; needs --token.
    #[arg(long, global = true, requires = "token", value_name = "URL")]
    url: Option<String>,
    /// Access token of an operator or admin; without it the local mesh's admin logs in.
    #[arg(long, global = true)]
    token: Option<String>,
    #[command(flatten)]
    factor: SecondFactor,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Prints what happened to an order and who did it.
    History {
        /// The order.
        order_id: String,
    },
    /// Makes the read model of all orders anew from their events, while it goes on answering.
    Rebuild {
        /// Goes on behind this order, where an earlier rebuild broke off.
        #[arg(
            long,
            value_name = "ORDER_ID",
            default_value = "",
            hide_default_value = true
        )]
        after: String,
    },
}

/// Runs the subcommand.
///
/// # Errors
/// Where no mesh runs, ordering does not answer or refuses.
pub async fn run(args: &Args, home: &Path) -> anyhow::Result<ExitCode> {
    let ordering = Ordering::of(args, home).await?;
    match &args.command {
        Command::History { order_id } => ordering.history(order_id).await?,
        Command::Rebuild { after } => ordering.rebuild(after).await?,
    }
    Ok(ExitCode::SUCCESS)
}

struct Ordering {
    client: OrderHistoryServiceClient<Channel>,
    bearer: MetadataValue<Ascii>,
}

impl Ordering {
    async fn of(args: &Args, home: &Path) -> anyhow::Result<Self> {
        let (url, token) = match (&args.url, &args.token) {
            (Some(url), Some(token)) => (url.clone(), token.clone()),
            _ => local(args, home).await?,
        };
        let mut bearer: MetadataValue<Ascii> = format!("Bearer {token}")
            .parse()
            .context("the token is no header value")?;
        bearer.set_sensitive(true);
        let endpoint =
            Endpoint::from_shared(url.clone()).with_context(|| format!("`{url}` is not a URL"))?;
        Ok(Self {
            client: OrderHistoryServiceClient::new(endpoint.connect_lazy()),
            bearer,
        })
    }

    async fn history(&self, order_id: &str) -> anyhow::Result<()> {
        let mut page_token = String::new();
        loop {
            let request = self.signed(ListOrderEventsRequest {
                order_id: order_id.to_owned(),
                page_size: PAGE_EVENTS,
                page_token,
            });
            let answer = self.client.clone().list_order_events(request).await;
            let answer = answer.map_err(refused)?.into_inner();
            for event in &answer.events {
                super::print(line(event).as_bytes());
            }
            page_token = answer.next_page_token;
            if page_token.is_empty() {
                return Ok(());
            }
        }
    }

    async fn rebuild(&self, after: &str) -> anyhow::Result<()> {
        let request = self.signed(RebuildOrdersRequest {
            after_order_id: after.to_owned(),
        });
        let answer = self.client.clone().rebuild_orders(request).await;
        let mut reports = answer.map_err(refused)?.into_inner();
        while let Some(report) = reports.message().await.map_err(refused)? {
            let text = format!(
                "{} orders, {} corrected, {} rows removed, up to {}\n",
                report.orders, report.corrected, report.removed, report.last_order_id
            );
            super::print(text.as_bytes());
        }
        Ok(())
    }

    fn signed<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        let bearer = self.bearer.clone();
        request.metadata_mut().insert("authorization", bearer);
        request
    }
}

/// Where ordering is in the local mesh, and a token: its admin's where none is given.
async fn local(args: &Args, home: &Path) -> anyhow::Result<(String, String)> {
    let home = Home::open(home).context("start one with `caravan up`")?;
    let topology = Topology::new(running(&home)?.port_base)?;
    let node = topology
        .services()
        .find(|node| node.name == "ordering")
        .context("this mesh has no ordering service")?;
    let token = match &args.token {
        Some(token) => token.clone(),
        None => {
            let shop = Shop::new(topology.only(Role::Gateway).address);
            shop.admin_token(&Secrets::of(&home), Some(&args.factor))
                .await?
        }
    };
    Ok((format!("http://{}", node.address), token))
}

/// `VERSION  TIME  EVENT  ACTOR  REASON`
fn line(event: &OrderEvent) -> String {
    let time = event
        .time
        .and_then(|time| SystemTime::try_from(time).ok())
        .map(|time| humantime::format_rfc3339_micros(time).to_string())
        .unwrap_or_default();
    let actor = event.actor.as_ref().map(actor).unwrap_or_default();
    let text = format!(
        "{}  {time}  {}  {actor}  {}",
        event.version, event.event, event.reason
    );
    format!("{}\n", text.trim_end())
}

fn actor(actor: &OrderActor) -> String {
    match (actor.user_id.as_str(), actor.saga_id.as_str()) {
        ("", "") => format!("service {}", actor.service),
        ("", saga) => format!("service {} (saga {saga})", actor.service),
        (user, _) => format!("user {user}"),
    }
}

fn refused(status: Status) -> anyhow::Error {
    anyhow::anyhow!("ordering: {:?}: {}", status.code(), status.message())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_line_that_names_who_did_it() {
        let event = OrderEvent {
            version: 2,
            event: "ordering.order.cancelled.v1".into(),
            time: Some(prost_types::Timestamp {
                seconds: 1,
                nanos: 0,
            }),
            actor: Some(OrderActor {
                service: "saga".into(),
                saga_id: "s-1".into(),
                ..Default::default()
            }),
            reason: "too late".into(),
            ..Default::default()
        };
        assert_eq!(
            line(&event),
            "2  1970-01-01T00:00:01.000000Z  ordering.order.cancelled.v1  service saga (saga s-1)  too late\n"
        );
        let silent = OrderEvent {
            reason: String::new(),
            actor: None,
            ..event
        };
        assert_eq!(
            line(&silent),
            "2  1970-01-01T00:00:01.000000Z  ordering.order.cancelled.v1\n"
        );
    }
}

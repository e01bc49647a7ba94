//! `caravan events tail`.

use std::process::ExitCode;
use std::time::Duration;

use contracts::caravan::ops::v1::{GetStatusRequest, ListEventsRequest};

use super::{
    mesh::{Client, Services, refused},
    show::{event, line, time},
};

/// Time between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(300);
/// Events of one answer.
const PAGE_EVENTS: i32 = 500;

/// Options of `caravan events tail`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// Only events of this subject; may end with `.>`.
    #[arg(long, default_value = "")]
    subject: String,
    /// From the beginning of history instead of from now on.
    #[arg(long)]
    from_start: bool,
    /// End when all that is there has been printed.
    #[arg(long)]
    no_follow: bool,
}

/// Prints events until Ctrl-C.
///
/// # Errors
/// Where a service does not answer or refuses.
pub(super) async fn run(args: &Args, services: &Services) -> anyhow::Result<ExitCode> {
    let mut tails = Vec::new();
    for (name, client) in services.all() {
        tails.push(Tail::open(args, name, client).await?);
    }
    loop {
        let mut more = false;
        for tail in &mut tails {
            more |= tail.look(args, services.json).await?;
        }
        if more {
            continue;
        }
        if args.no_follow {
            return Ok(ExitCode::SUCCESS);
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// How far one service's events were printed.
struct Tail<'a> {
    service: &'a str,
    client: Client,
    position: i64,
}

impl<'a> Tail<'a> {
    async fn open(args: &Args, service: &'a str, mut client: Client) -> anyhow::Result<Self> {
        let mut position = 0;
        if !args.from_start && !args.no_follow {
            let answer = client.get_status(GetStatusRequest {}).await;
            let status = answer.map_err(refused(service))?.into_inner();
            position = status.outbox.map_or(0, |outbox| outbox.last_position);
        }
        Ok(Self {
            service,
            client,
            position,
        })
    }

    /// Prints the next page. Whether there was one.
    async fn look(&mut self, args: &Args, json: bool) -> anyhow::Result<bool> {
        let request = ListEventsRequest {
            after_position: self.position,
            page_size: PAGE_EVENTS,
            subject: args.subject.clone(),
            ..Default::default()
        };
        let answer = match self.client.list_events(request).await {
            Ok(answer) => answer.into_inner(),
            // A service without a database publishes nothing.
            Err(status) if status.code() == tonic::Code::FailedPrecondition => return Ok(false),
            Err(status) => return Err(refused(self.service)(status)),
        };
        for found in &answer.events {
            let shown = event(self.service, found);
            match json {
                true => line(shown),
                false => line(format!(
                    "{} {} {} {}",
                    time(found.occurred_at.as_ref()),
                    found.subject,
                    found.aggregate_id,
                    shown["payload"]
                )),
            }
        }
        let more = answer.next_position > self.position;
        self.position = answer.next_position;
        Ok(more)
    }
}

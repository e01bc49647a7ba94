//! `caravan events dlq`.

use std::process::ExitCode;

use anyhow::Context as _;
use contracts::caravan::ops::v1::{
    GetDeadLetterRequest, ListDeadLettersRequest, RedriveDeadLettersRequest,
};

use super::{
    mesh::{Services, refused},
    show::{dead_letter, line, time},
};

/// Subcommands of `caravan events dlq`.
#[derive(Clone, Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Lists dead letters.
    List {
        /// Only those of this consumer, e.g. `ordering-accounts`.
        #[arg(long, default_value = "")]
        consumer: String,
    },
    /// Shows one whole: payload, headers, error, attempts.
    Show {
        /// `<service>-<name>`
        consumer: String,
        /// The event's id.
        event_id: String,
    },
    /// Lets consumers handle dead letters once more. Exit code 0 only when none is left of them.
    Redrive {
        /// Only those of this consumer.
        #[arg(default_value = "")]
        consumer: String,
        /// Only this event.
        #[arg(default_value = "")]
        event_id: String,
    },
}

/// Runs the subcommand.
///
/// # Errors
/// Where a service does not answer or refuses.
pub(super) async fn run(command: &Command, services: &Services) -> anyhow::Result<ExitCode> {
    match command {
        Command::List { consumer } => list(consumer, services).await,
        Command::Show { consumer, event_id } => {
            let mut client = services.of_consumer(consumer)?;
            let request = GetDeadLetterRequest {
                consumer: consumer.clone(),
                event_id: event_id.clone(),
            };
            let answer = client.get_dead_letter(request).await;
            let letter = answer.map_err(refused(consumer))?.into_inner();
            let letter = letter.dead_letter.context("an empty answer")?;
            let shown = dead_letter(&letter);
            match services.json {
                true => line(shown),
                false => line(format!("{shown:#}")),
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Redrive { consumer, event_id } => redrive(consumer, event_id, services).await,
    }
}

async fn list(consumer: &str, services: &Services) -> anyhow::Result<ExitCode> {
    for (name, mut client) in services.all() {
        let mut page_token = String::new();
        loop {
            let request = ListDeadLettersRequest {
                consumer: consumer.to_owned(),
                page_size: 100,
                page_token,
            };
            let answer = match client.list_dead_letters(request).await {
                Ok(answer) => answer.into_inner(),
                // A service without a database consumes nothing.
                Err(status) if status.code() == tonic::Code::FailedPrecondition => break,
                Err(status) => return Err(refused(name)(status)),
            };
            for letter in &answer.dead_letters {
                match services.json {
                    true => line(dead_letter(letter)),
                    false => line(format!(
                        "{} {} {} {} {}: {} ({} attempts)",
                        time(letter.died_at.as_ref()),
                        letter.consumer,
                        letter.event_id,
                        letter.subject,
                        letter.code,
                        letter.error,
                        letter.attempts
                    )),
                }
            }
            page_token = answer.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn redrive(consumer: &str, event_id: &str, services: &Services) -> anyhow::Result<ExitCode> {
    let clients = match consumer {
        "" => services.all().map(|(_, client)| client).collect(),
        consumer => vec![services.of_consumer(consumer)?],
    };
    let (mut handled, mut failed) = (0, 0);
    for mut client in clients {
        let request = RedriveDeadLettersRequest {
            consumer: consumer.to_owned(),
            event_id: event_id.to_owned(),
        };
        match client.redrive_dead_letters(request).await {
            Ok(answer) => {
                let answer = answer.into_inner();
                handled += answer.handled;
                failed += answer.failed;
            }
            Err(status) if status.code() == tonic::Code::FailedPrecondition => {}
            Err(status) => return Err(refused("redrive")(status)),
        }
    }
    line(format!("{handled} handled, {failed} failed again"));
    Ok(match failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

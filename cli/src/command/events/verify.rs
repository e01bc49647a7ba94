//! `caravan events verify`, `replay`, `rebuild` and `log-filter`.

use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::Context as _;
use contracts::caravan::ops::v1::{
    RebuildProjectionRequest, ReplayEventsRequest, SetLogFilterRequest, VerifyEventsRequest,
};
use prost_types::Timestamp;
use serde_json::json;

use super::{
    mesh::{Services, refused},
    show::line,
};

/// Options of `caravan events verify`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// Send what is missing again.
    #[arg(long)]
    repair: bool,
}

/// Compares each service's outbox with its stream.
///
/// # Errors
/// Where a service does not answer or refuses.
pub(super) async fn run(args: &Args, services: &Services) -> anyhow::Result<ExitCode> {
    let mut missing = 0;
    for (name, mut client) in services.all() {
        let request = VerifyEventsRequest {
            repair: args.repair,
        };
        let answer = match client.verify_events(request).await {
            Ok(answer) => answer.into_inner(),
            // A service without a database publishes nothing.
            Err(status) if status.code() == tonic::Code::FailedPrecondition => continue,
            Err(status) => return Err(refused(name)(status)),
        };
        missing += answer.missing_count - answer.repaired;
        if services.json {
            let events: Vec<_> = answer
                .missing
                .iter()
                .map(|event| {
                    json!({
                        "position": event.position,
                        "eventId": event.event_id,
                        "subject": event.subject,
                        "aggregateId": event.aggregate_id,
                        "streamSequence": event.stream_sequence,
                    })
                })
                .collect();
            line(json!({
                "service": name,
                "checked": answer.checked,
                "unsent": answer.unsent,
                "missing": answer.missing_count,
                "missingEvents": events,
                "unknown": answer.unknown,
                "repaired": answer.repaired,
            }));
            continue;
        }
        line(format!(
            "{name}: {} events checked, {} missing, {} sent again, {} unsent, {} messages of others",
            answer.checked, answer.missing_count, answer.repaired, answer.unsent, answer.unknown
        ));
        for event in &answer.missing {
            line(format!(
                "  missing at {}: {} {} {} (outbox {})",
                event.stream_sequence,
                event.event_id,
                event.subject,
                event.aggregate_id,
                event.position
            ));
        }
    }
    Ok(match missing {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// Options of `caravan events replay`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ReplayArgs {
    /// `<service>-<name>`, as `caravan events status` lists it.
    consumer: String,
    /// Only events that happened then or later: RFC 3339, or how long ago, e.g. `2h`.
    #[arg(long, value_parser = moment)]
    from: Option<Timestamp>,
}

/// Hands a consumer its publisher's events.
///
/// # Errors
/// Where the service does not answer or refuses.
pub(super) async fn replay(args: &ReplayArgs, services: &Services) -> anyhow::Result<ExitCode> {
    let mut client = services.of_consumer(&args.consumer)?;
    let request = ReplayEventsRequest {
        consumer: args.consumer.clone(),
        from: args.from,
    };
    let answer = client.replay_events(request).await;
    let answer = answer.map_err(refused(&args.consumer))?.into_inner();
    line(format!(
        "{} events, {} handled for the first time, {} dead letters",
        answer.events, answer.handled, answer.dead_letters
    ));
    Ok(match answer.dead_letters {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// Options of `caravan events rebuild`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct RebuildArgs {
    /// The projection's name; its service by --service.
    projection: String,
}

/// Begins to build a projection anew.
///
/// # Errors
/// Where the service does not answer or refuses.
pub(super) async fn rebuild(args: &RebuildArgs, services: &Services) -> anyhow::Result<ExitCode> {
    let (name, mut client) = services.only()?;
    let request = RebuildProjectionRequest {
        projection: args.projection.clone(),
    };
    let answer = client.rebuild_projection(request).await;
    let answer = answer.map_err(refused(name))?.into_inner();
    line(format!("generation {} is being built", answer.generation));
    Ok(ExitCode::SUCCESS)
}

/// Options of `caravan events log-filter`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct LogFilterArgs {
    /// As RUST_LOG has it.
    filter: String,
}

/// Changes a service's log filter.
///
/// # Errors
/// Where a service does not answer or refuses.
pub(super) async fn log_filter(
    args: &LogFilterArgs,
    services: &Services,
) -> anyhow::Result<ExitCode> {
    for (name, mut client) in services.all() {
        let request = SetLogFilterRequest {
            filter: args.filter.clone(),
        };
        let answer = client.set_log_filter(request).await;
        let previous = answer.map_err(refused(name))?.into_inner().previous;
        line(format!("{name}: {} (was {previous})", args.filter));
    }
    Ok(ExitCode::SUCCESS)
}

/// A time, or how long ago it was.
fn moment(text: &str) -> anyhow::Result<Timestamp> {
    if let Ok(ago) = humantime::parse_duration(text) {
        return Ok((SystemTime::now() - ago).into());
    }
    let at = humantime::parse_rfc3339_weak(text).with_context(|| {
        format!("`{text}` is neither a time like 2026-11-21T12:00:00Z nor like 2h")
    })?;
    Ok(at.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_or_how_long_ago() {
        assert_eq!(moment("1970-01-01T00:01:00Z").unwrap().seconds, 60);
        let hour_ago = moment("1h").unwrap().seconds;
        let now = Timestamp::from(SystemTime::now()).seconds;
        assert!((3_590..=3_610).contains(&(now - hour_ago)));
        assert!(moment("yesterday").is_err());
    }
}

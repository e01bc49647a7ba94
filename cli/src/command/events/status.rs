//! `caravan events status`.

use std::process::ExitCode;

use contracts::caravan::ops::v1::{GetStatusRequest, GetStatusResponse};
use serde_json::json;

use super::{
    mesh::{Services, refused},
    show::{line, time},
};

/// Prints how far everybody is.
///
/// # Errors
/// Where a service does not answer or refuses.
pub(super) async fn run(services: &Services) -> anyhow::Result<ExitCode> {
    for (name, mut client) in services.all() {
        let answer = client.get_status(GetStatusRequest {}).await;
        let status = answer.map_err(refused(name))?.into_inner();
        match services.json {
            true => line(as_json(name, &status)),
            false => as_text(name, &status),
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn as_json(name: &str, status: &GetStatusResponse) -> serde_json::Value {
    let outbox = status.outbox.unwrap_or_default();
    let consumers: Vec<_> = status
        .consumers
        .iter()
        .map(|consumer| {
            json!({
                "consumer": consumer.consumer,
                "subject": consumer.subject,
                "active": consumer.is_active,
                "pending": consumer.pending,
                "inFlight": consumer.in_flight,
                "deadLetters": consumer.dead_letters,
            })
        })
        .collect();
    let projections: Vec<_> = status
        .projections
        .iter()
        .map(|projection| {
            json!({
                "projection": projection.projection,
                "serving": projection.serving_generation,
                "building": projection.building_generation,
            })
        })
        .collect();
    json!({
        "service": name,
        "unsent": outbox.unsent,
        "oldestUnsentAt": outbox.oldest_unsent_at.map(|at| at.to_string()),
        "lastPosition": outbox.last_position,
        "consumers": consumers,
        "projections": projections,
        "logFilter": status.log_filter,
    })
}

fn as_text(name: &str, status: &GetStatusResponse) {
    let outbox = status.outbox.unwrap_or_default();
    line(format!(
        "{name}: {} events, {} unsent, oldest unsent {}; log filter {}",
        outbox.last_position,
        outbox.unsent,
        time(outbox.oldest_unsent_at.as_ref()),
        status.log_filter
    ));
    for consumer in &status.consumers {
        line(format!(
            "  {} ({}): {} pending, {} in flight, {} dead letters{}",
            consumer.consumer,
            consumer.subject,
            consumer.pending,
            consumer.in_flight,
            consumer.dead_letters,
            if consumer.is_active {
                ""
            } else {
                ", standing by"
            }
        ));
    }
    for projection in &status.projections {
        line(format!(
            "  projection {}: generation {} serves{}",
            projection.projection,
            projection.serving_generation,
            match projection.building_generation {
                0 => String::new(),
                building => format!(", {building} is being built"),
            }
        ));
    }
}

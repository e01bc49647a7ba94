//! Events as their services' relays publish them.

use alone::wait::until;
use async_nats::{HeaderMap, jetstream};
use contracts::policy;
use prost_reflect::ReflectMessage;
use uuid::Uuid;

/// Publishes an event as its service's relay would.
pub(super) async fn publish<M: ReflectMessage>(
    nats: &str,
    event_id: Uuid,
    aggregate: &str,
    event: &M,
) {
    let name = event.descriptor().full_name().to_owned();
    let policy = policy::event(&name).expect("an event of the contract");
    let stream = policy.publisher().to_uppercase();
    let jetstream = jetstream::new(async_nats::connect(nats).await.expect("the broker runs"));
    let config = jetstream::stream::Config {
        name: stream,
        subjects: vec![format!("{}.>", policy.publisher())],
        ..Default::default()
    };
    if jetstream.get_stream(&config.name).await.is_err() {
        // The orchestrator may make it at the same moment.
        let _ = jetstream.create_stream(config).await;
    }
    let mut headers = HeaderMap::new();
    for (header, value) in [
        ("Nats-Msg-Id", event_id.to_string()),
        ("ce-id", event_id.to_string()),
        ("ce-specversion", "1.0".to_owned()),
        ("ce-source", format!("/caravan/{}", policy.publisher())),
        ("ce-type", name.clone()),
        ("ce-subject", aggregate.to_owned()),
        ("ce-time", "2026-01-01T00:00:00Z".to_owned()),
        ("content-type", "application/protobuf".to_owned()),
    ] {
        headers.insert(header, value.as_str());
    }
    let payload = event.encode_to_vec();
    // The orchestrator may be making the stream at this moment: until then nobody takes the event.
    until("the event is acknowledged", || async {
        let sent = jetstream
            .publish_with_headers(
                policy.subject.clone(),
                headers.clone(),
                payload.clone().into(),
            )
            .await;
        sent?.await
    })
    .await;
}

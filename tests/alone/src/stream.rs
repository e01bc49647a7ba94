//! What a service has published, and what it is told.

use async_nats::jetstream::{self, stream::Stream};
use contracts::policy;
use kit::wait::until;
use prost_reflect::ReflectMessage;
use uuid::Uuid;

/// Waits until at least `count` events of this type are in their stream, and answers all that are.
///
/// # Panics
/// Where they do not come in time.
pub(crate) async fn published<M: ReflectMessage + Default>(
    nats_url: &str,
    service: &str,
    count: usize,
) -> Vec<M> {
    let descriptor = M::default().descriptor();
    let policy = policy::event(descriptor.full_name()).expect("an event of the contract");
    let subject = &policy.subject_of(service);
    let publisher = subject.split('.').next().unwrap_or_default();
    let client = async_nats::connect(nats_url)
        .await
        .expect("the broker runs");
    let jetstream = jetstream::new(client);
    until(&format!("{count} x {subject}"), || async {
        let stream = jetstream
            .get_stream(publisher.to_uppercase())
            .await
            .map_err(|error| error.to_string())?;
        let found = messages(stream, subject).await?;
        if found.len() >= count {
            Ok(found)
        } else {
            Err(format!("{} there", found.len()))
        }
    })
    .await
}

/// Publishes an event of `service` with the headers of the mesh.
///
/// # Panics
/// Where the broker does not take it.
pub(crate) async fn publish<M: ReflectMessage>(nats_url: &str, service: &str, event: &M) {
    let descriptor = event.descriptor();
    let policy = policy::event(descriptor.full_name()).expect("an event of the contract");
    let aggregate = event
        .transcode_to_dynamic()
        .get_field_by_name(&policy.aggregate_id_field)
        .and_then(|id| id.as_str().map(str::to_owned))
        .expect("the aggregate's id");
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("ce-id", Uuid::now_v7().to_string());
    headers.insert("ce-type", descriptor.full_name());
    headers.insert("ce-subject", aggregate);
    headers.insert("ce-time", now());
    let client = async_nats::connect(nats_url)
        .await
        .expect("the broker runs");
    let jetstream = jetstream::new(client);
    until("the broker takes the event", || async {
        let payload = event.encode_to_vec().into();
        let ack = jetstream
            .publish_with_headers(
                policy.subject_of(service).into_owned(),
                headers.clone(),
                payload,
            )
            .await;
        ack.map_err(|error| error.to_string())?
            .await
            .map_err(|error| error.to_string())
    })
    .await;
}

/// Now as CloudEvents say it.
fn now() -> String {
    let format = &time::format_description::well_known::Rfc3339;
    chassis::clock::now()
        .format(format)
        .expect("a time of this age")
}

async fn messages<M: ReflectMessage + Default>(
    mut stream: Stream,
    subject: &str,
) -> Result<Vec<M>, String> {
    let state = stream
        .info()
        .await
        .map_err(|error| error.to_string())?
        .state
        .clone();
    let mut found = Vec::new();
    for sequence in state.first_sequence.max(1)..=state.last_sequence {
        let message = stream
            .get_raw_message(sequence)
            .await
            .map_err(|error| error.to_string())?;
        if message.subject.as_str() == subject {
            found.push(M::decode(message.payload).map_err(|error| error.to_string())?);
        }
    }
    Ok(found)
}

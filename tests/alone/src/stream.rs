//! What a service has published.

use async_nats::jetstream::{self, stream::Stream};
use contracts::policy;
use kit::wait::until;
use prost_reflect::ReflectMessage;

/// Waits until at least `count` events of this type are in their stream, and answers all that are.
///
/// # Panics
/// Where they do not come in time.
pub(crate) async fn published<M: ReflectMessage + Default>(nats_url: &str, count: usize) -> Vec<M> {
    let descriptor = M::default().descriptor();
    let policy = policy::event(descriptor.full_name()).expect("an event of the contract");
    let client = async_nats::connect(nats_url)
        .await
        .expect("the broker runs");
    let jetstream = jetstream::new(client);
    until(&format!("{count} x {}", policy.subject), || async {
        let stream = jetstream
            .get_stream(policy.publisher().to_uppercase())
            .await
            .map_err(|error| error.to_string())?;
        let found = messages(stream, &policy.subject).await?;
        if found.len() >= count {
            Ok(found)
        } else {
            Err(format!("{} there", found.len()))
        }
    })
    .await
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

//! The stream of a publishing service. Publisher and consumers make it alike, whoever comes first.

use std::time::Duration;

use async_nats::jetstream::{
    self,
    context::CreateStreamError,
    stream::{Config, DiscardPolicy, RetentionPolicy, StorageType, Stream},
};

use crate::clock;

/// Most bytes that a stream holds; then publishers are refused and their outboxes wait.
const MAX_BYTES: i64 = 1 << 30;
/// How long a stream holds an event; after that only the outbox has it.
const MAX_AGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How long the broker drops an event id that it has seen.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);
/// Wait between two tries to reach the broker.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Events that were sent before this time, in microseconds since 1970, are too old for a stream.
pub(crate) fn oldest_held_us() -> i64 {
    clock::now_us() - MAX_AGE.as_micros() as i64
}

/// The name of a service's stream.
pub(crate) fn name(service: &str) -> String {
    service.to_uppercase()
}

/// Makes the stream of `service` where it is not there.
pub(crate) async fn ensure(
    jetstream: &jetstream::Context,
    service: &str,
) -> Result<Stream, CreateStreamError> {
    let config = Config {
        name: name(service),
        subjects: vec![format!("{service}.>")],
        // Limits and discard-new lose nothing by themselves; interest and work queue do.
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::New,
        storage: StorageType::File,
        max_bytes: MAX_BYTES,
        max_age: MAX_AGE,
        duplicate_window: DUPLICATE_WINDOW,
        ..Default::default()
    };
    jetstream.get_or_create_stream(config).await
}

/// Makes the stream, however long the broker is away. Ends when it is done; cancel by dropping.
pub(crate) async fn ensure_until_done(jetstream: &jetstream::Context, service: &str) -> Stream {
    let mut said = false;
    loop {
        match ensure(jetstream, service).await {
            Ok(stream) => return stream,
            Err(error) => {
                if !said {
                    tracing::warn!(%error, stream = name(service), "the event stream cannot be reached; trying again");
                    said = true;
                }
            }
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

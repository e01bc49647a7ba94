//! Runs the consumers of a projection's generations and switches between them.

use std::{collections::BTreeMap, time::Duration};

use async_nats::jetstream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Projection, State, state};
use crate::{
    db::{Db, Error},
    events::{is_caught_up, stream},
};

/// How often it is looked whether a generation is to be built or has been.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// A generation's consumer.
struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Projection {
    /// Applies events until `cancel`.
    pub async fn run(
        self,
        db: Db,
        jetstream: jetstream::Context,
        service: &str,
        cancel: CancellationToken,
    ) {
        let mut running: BTreeMap<i64, Running> = BTreeMap::new();
        loop {
            match self.look(&db, &jetstream, service).await {
                Ok(state) => {
                    let wanted = [Some(state.serving), state.building];
                    let gone: Vec<_> = running
                        .extract_if(.., |generation, _| !wanted.contains(&Some(*generation)))
                        .collect();
                    for (generation, consumer) in gone {
                        consumer.end().await;
                        self.remove(&db, &jetstream, service, generation).await;
                    }
                    for generation in wanted.into_iter().flatten() {
                        running.entry(generation).or_insert_with(|| {
                            let consumer = self.consumer(&db, generation);
                            let stop = cancel.child_token();
                            let (db, jetstream, service, stopped) = (
                                db.clone(),
                                jetstream.clone(),
                                service.to_owned(),
                                stop.clone(),
                            );
                            let task = tokio::spawn(async move {
                                consumer.run(db, jetstream, &service, stopped).await;
                            });
                            Running { stop, task }
                        });
                    }
                }
                Err(error) => tracing::warn!(
                    projection = self.name,
                    error = &error as &dyn std::error::Error,
                    "the projection's state cannot be read; trying again"
                ),
            }
            if cancel
                .run_until_cancelled(tokio::time::sleep(LOOK_INTERVAL))
                .await
                .is_none()
            {
                break;
            }
        }
        for consumer in running.into_values() {
            consumer.end().await;
        }
    }

    /// The generations, after a switch where one has been built.
    async fn look(
        &self,
        db: &Db,
        jetstream: &jetstream::Context,
        service: &str,
    ) -> Result<State, Error> {
        let found = state::ensure(db, &self.name).await?;
        let Some(built) = found.building else {
            return Ok(found);
        };
        let durable = format!("{service}-{}", self.consumer_name(built));
        if !is_caught_up(db, jetstream, &self.publisher, &durable).await? {
            return Ok(found);
        }
        if state::switch(db, &found, built).await? {
            tracing::info!(
                projection = self.name,
                generation = built,
                "a projection was built anew and is read from now on"
            );
        }
        state::ensure(db, &self.name).await
    }

    /// Removes the rows and the consumer of a generation that is not read any more. What is left by a failure is removed by
    /// nobody, and read by nobody.
    async fn remove(
        &self,
        db: &Db,
        jetstream: &jetstream::Context,
        service: &str,
        generation: i64,
    ) {
        let durable = format!("{service}-{}", self.consumer_name(generation));
        if let Ok(stream) = jetstream
            .get_stream_no_info(stream::name(&self.publisher))
            .await
        {
            // Another replica may have been first.
            let _ = stream.delete_consumer(&durable).await;
        }
        let forget = &self.forget;
        let removed = async {
            while db.write(|tx| forget(tx, generation)).await? > 0 {}
            state::forget_consumer(db, &durable).await
        };
        if let Err(error) = removed.await {
            tracing::warn!(
                projection = self.name,
                generation,
                error = &error as &dyn std::error::Error,
                "rows of an old generation were left"
            );
        }
    }
}

impl Running {
    async fn end(self) {
        self.stop.cancel();
        // A panic is logged where it happens.
        let _ = self.task.await;
    }
}

//! One durable consumer for each definition that an event starts, also for those registered while the service runs.
//!
//! It reads the stream from its beginning: an event that came before its definition starts a saga too.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use async_nats::jetstream;
use chassis::events::{Delivery, raw_consumer};
use prost::bytes::Bytes;
use tokio::{task::JoinHandle, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    domain::{
        definition::{Definition, Trigger},
        saga,
    },
    engine::Engine,
    error::Error,
    expression::{Expression, Variables, from_message},
};

/// Time between two looks at what other replicas registered.
const REFRESH_INTERVAL: Duration = Duration::from_secs(5);
/// Time between two tries to read the definitions while the database does not answer.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// Longest key of a saga, in bytes.
const MAX_KEY_BYTES: usize = 200;

/// The consumers that start sagas.
pub struct Triggers {
    engine: Engine,
    jetstream: jetstream::Context,
    service: String,
    /// By definition.
    running: HashMap<String, Running>,
}

struct Running {
    subject: String,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Triggers {
    /// For the engine's definitions; `service` prefixes the durables' names.
    pub fn new(engine: Engine, jetstream: jetstream::Context, service: &str) -> Self {
        Self {
            engine,
            jetstream,
            service: service.to_owned(),
            running: HashMap::new(),
        }
    }

    /// Consumes until `stop`.
    ///
    /// # Errors
    /// None; the signature is the chassis'.
    pub async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut newest = self.engine.registry().watch();
        while !stop.is_cancelled() {
            let pause = match self.follow(&stop).await {
                Ok(()) => REFRESH_INTERVAL,
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "triggers could not be read yet"
                    );
                    RETRY_INTERVAL
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                _ = newest.changed() => {}
                () = sleep(pause) => {}
            }
        }
        for (name, running) in self.running.drain() {
            running.finish(&name).await;
        }
        Ok(())
    }

    /// Starts and stops consumers as the newest definitions say.
    async fn follow(&mut self, stop: &CancellationToken) -> Result<(), Error> {
        take_ended(&mut self.running).await;
        self.engine.registry().refresh().await?;
        let names: Vec<String> = self
            .engine
            .registry()
            .watch()
            .borrow()
            .keys()
            .cloned()
            .collect();
        for name in names {
            let definition = match self.engine.registry().newest(&name).await {
                Ok((_, definition)) => definition,
                // One that no longer compiles must not keep the others from starting.
                Err(error @ Error::Definition(_)) => {
                    tracing::error!(
                        definition = name,
                        error = &error as &dyn std::error::Error,
                        "not consumed"
                    );
                    continue;
                }
                Err(error) => return Err(error),
            };
            let subject = definition
                .trigger
                .as_ref()
                .map(|trigger| trigger.subject.as_str());
            if self
                .running
                .get(&name)
                .map(|running| running.subject.as_str())
                == subject
            {
                continue;
            }
            if let Some(old) = self.running.remove(&name) {
                old.stop.cancel();
                old.finish(&name).await;
            }
            if let Some(subject) = subject {
                let running = self.start(&name, subject, stop);
                self.running.insert(name, running);
            }
        }
        Ok(())
    }

    fn start(&self, definition: &str, subject: &str, stop: &CancellationToken) -> Running {
        let stop = stop.child_token();
        let (engine, name) = (self.engine.clone(), Arc::<str>::from(definition));
        let handler = move |delivery| handle(engine.clone(), Arc::clone(&name), delivery);
        let durable = format!("{definition}-{}", subject.replace('.', "-"));
        let consumer = raw_consumer(&durable, subject, handler);
        let (db, jetstream, service) = (
            self.engine.db().clone(),
            self.jetstream.clone(),
            self.service.clone(),
        );
        let cancel = stop.clone();
        let task = tokio::spawn(async move { consumer.run(db, jetstream, &service, cancel).await });
        tracing::info!(definition, subject, "events start sagas");
        Running {
            subject: subject.to_owned(),
            stop,
            task,
        }
    }
}

impl Running {
    /// Waits for its end, which was asked for.
    async fn finish(self, definition: &str) {
        if let Err(error) = self.task.await {
            tracing::error!(
                definition,
                error = &error as &dyn std::error::Error,
                "a consumer of triggers did not finish"
            );
        }
    }
}

/// Takes out consumers that ended although nobody stopped them, so that they are started again.
async fn take_ended(running: &mut HashMap<String, Running>) {
    let ended = running.extract_if(|_, consumer| consumer.task.is_finished());
    for (definition, consumer) in ended.collect::<Vec<_>>() {
        if consumer.stop.is_cancelled() {
            continue;
        }
        let error = consumer.task.await.err();
        tracing::error!(
            definition,
            error = error.as_ref().map(|error| error as &dyn std::error::Error),
            "a consumer of triggers ended by itself; starting it again"
        );
    }
}

/// Starts the saga of an event: claim, saga and first intents in one commit, and then at once.
async fn handle(
    engine: Engine,
    definition: Arc<str>,
    delivery: Delivery<Bytes>,
) -> Result<(), Error> {
    let (version, definition) = engine.registry().newest(&definition).await?;
    let Some(trigger) = definition
        .trigger
        .as_ref()
        .filter(|trigger| trigger.subject == delivery.subject)
    else {
        return Ok(());
    };
    let message = saga::decode(&trigger.message, &delivery.message).map_err(Error::Trigger)?;
    let variables = Variables {
        named: HashMap::from([("trigger", from_message(&message))]),
        replies: HashMap::new(),
    };
    let Some(key) = key(&definition, trigger, &variables)? else {
        return Ok(());
    };
    // Meanwhile the broker delivers no further events than are being handled.
    while let Err(error) = engine.admit().await {
        if engine.is_stopping() {
            return Err(error);
        }
    }
    let input = delivery.message.to_vec();
    let beginning = engine.prepare((version, Arc::clone(&definition)), key, &message, input)?;
    let inserted = AtomicBool::new(false);
    let (unit, flag) = (&beginning, &inserted);
    engine
        .db()
        .claim(&delivery, |tx| {
            // Of a run that was rolled back nothing counts, also where the next one finds the event handled.
            flag.store(false, Relaxed);
            async move {
                flag.store(unit.insert(&tx).await?, Relaxed);
                Ok::<_, Error>(())
            }
        })
        .await?;
    if inserted.load(Relaxed) {
        engine.launch(beginning);
    }
    Ok(())
}

/// The key of the saga that an event starts; `None` where it starts none.
fn key(
    definition: &Definition,
    trigger: &Trigger,
    variables: &Variables,
) -> Result<Option<String>, Error> {
    let evaluate = |what: &str, expression: &Expression| {
        let failed =
            |fault| Error::Trigger(format!("trigger.{what} of {}: {fault}", definition.name));
        expression.evaluate(variables).map_err(failed)
    };
    if let Some(when) = &trigger.when
        && evaluate("when", when)? != cel::Value::Bool(true)
    {
        return Ok(None);
    }
    match evaluate("key", &trigger.key)? {
        cel::Value::String(key) if (1..=MAX_KEY_BYTES).contains(&key.len()) => {
            Ok(Some(key.to_string()))
        }
        _ => Err(Error::Trigger(format!(
            "trigger.key of {}: no text of 1 to {MAX_KEY_BYTES} bytes",
            definition.name
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_consumer_that_ended_by_itself_is_started_again() {
        let consumer = |task| Running {
            subject: "ordering.order.placed.v1".into(),
            stop: CancellationToken::new(),
            task,
        };
        let dead = tokio::spawn(async { panic!("as the test says") });
        while !dead.is_finished() {
            tokio::task::yield_now().await;
        }
        let alive = tokio::spawn(std::future::pending());
        let abort = alive.abort_handle();
        let mut running = HashMap::from([
            ("dead".to_owned(), consumer(dead)),
            ("alive".to_owned(), consumer(alive)),
        ]);
        take_ended(&mut running).await;
        assert_eq!(running.keys().collect::<Vec<_>>(), ["alive"]);
        abort.abort();
    }
}

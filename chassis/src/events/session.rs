//! One attachment of a consumer to its stream, from durable to the first thing that breaks.
//!
//! Events come in the stream's order only as long as no delivery is lost on the way: what was handed out and not
//! acknowledged, to a process that died or over a connection that broke, would come again behind later events. So a session
//! makes the durable anew behind its acknowledged floor where anything is outstanding, and ends when a delivery is missing.

use std::time::Duration;

use async_nats::jetstream::{
    self,
    consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull},
    context::ConsumerInfoErrorKind,
    stream::Stream,
};
use futures::StreamExt as _;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at};
use tokio_util::sync::CancellationToken;

use super::{
    archive::{self, Archive},
    care::Care,
    catch_up::{CatchUp, Standing, note_complete},
    queues::{MAX_HELD_EVENTS, Queues},
    read, stream,
    turn::Turn,
};
use crate::clock;

/// How long the broker waits for an acknowledgement or a sign of progress before it delivers again.
const ACK_WAIT: Duration = Duration::from_secs(10);
/// How often the broker is told of events that are still worked on.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(3);
/// How often the broker says that it is still there; silence for twice as long starts the consumer again.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// How often an idle consumer notes that it has had everything.
const NOTE_INTERVAL: Duration = Duration::from_secs(600);
/// When it does so for the first time.
const FIRST_NOTE_AFTER: Duration = Duration::from_secs(3);
/// First wait of a consumer that may miss history, on an empty stream, for a first event before it asks the archive.
const FIRST_EVENT_WAIT: Duration = Duration::from_secs(1);
/// Sign of progress of an acknowledgement.
const PROGRESS: &[u8] = b"+WPI";

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A consumer's turn at its stream.
pub(super) struct Session<'a> {
    pub(super) jetstream: &'a jetstream::Context,
    pub(super) subject: &'a str,
    pub(super) archive: Option<&'a Archive>,
    pub(super) queues: &'a Queues,
    pub(super) cancel: &'a CancellationToken,
    pub(super) turn: &'a Turn<'a>,
    pub(super) care: &'a Care,
    /// The gap between the consumer and its stream was closed by the session before.
    pub(super) caught_up: bool,
}

/// Why a session ended well.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The broker has no more to say; start again.
    Over,
    /// It has caught up with its history; start again.
    CaughtUp,
}

/// The durable as it was found or made.
struct Attached {
    consumer: PullConsumer,
    /// The number of its last delivery.
    delivered: u64,
    /// Events may be missing between what it has had and the stream's first.
    gap: bool,
    /// Whether the stream has nothing for it.
    is_empty: bool,
}

impl Session<'_> {
    /// Takes events until something breaks.
    pub(super) async fn run(&self) -> Result<End, BoxError> {
        let publisher = self.subject.split('.').next().unwrap_or_default();
        let stream = stream::ensure_until_done(self.jetstream, publisher).await;
        let standing = self.turn.standing().await?;
        let attached = self.attach(&stream).await?;
        let behind = !self.caught_up && (!standing.is_complete() || attached.gap);
        let mut behind = behind.then_some(self.archive).flatten();
        let mut delivered = attached.delivered;
        let mut messages = attached
            .consumer
            .stream()
            .max_messages_per_batch(MAX_HELD_EVENTS)
            .heartbeat(HEARTBEAT)
            .messages()
            .await?;
        let mut progress = interval(PROGRESS_INTERVAL);
        progress.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut note = interval_at(Instant::now() + FIRST_NOTE_AFTER, NOTE_INTERVAL);
        // Whether it has had, or is being given, everything from the beginning of history.
        let mut sound = standing.is_complete();
        let first_event = tokio::time::sleep(FIRST_EVENT_WAIT);
        tokio::pin!(first_event);
        let mut pending = u64::from(!attached.is_empty);
        loop {
            tokio::select! {
                message = messages.next() => {
                    let Some(message) = message else { return Ok(End::Over) };
                    let message = message?;
                    let info = message.info()?;
                    if info.consumer_sequence != delivered + 1 {
                        return Err("a delivery was lost on the way".into());
                    }
                    delivered += 1;
                    pending = info.pending;
                    if let Some(archive) = behind {
                        // Without a position it is not from an outbox that has an archive.
                        match read::position(&message) {
                            Some(position) if position > 1 || standing.is_complete() => {
                                return self.catch_up(archive, &standing, position).await;
                            }
                            Some(_) => sound = true,
                            None => {}
                        }
                        behind = None;
                    }
                    let mut event = read::message(&message, self.turn.consumer, standing.epoch);
                    event.alone = self.care.of_message(info.stream_sequence);
                    // A full consumer holds back the broker: bounded memory before speed.
                    self.queues.hand_out(event, Some(message)).await;
                }
                _ = progress.tick() => {
                    for reply in self.queues.held_longer_than(PROGRESS_INTERVAL) {
                        self.jetstream.client().publish(reply, PROGRESS.into()).await?;
                    }
                }
                () = &mut first_event, if behind.is_some() && attached.is_empty => {
                    let Some(archive) = behind.take() else { continue };
                    return self.catch_up(archive, &standing, i64::MAX).await;
                }
                _ = note.tick() => {
                    if sound && pending == 0 && self.queues.is_idle() {
                        note_complete(self.turn.db, self.turn.consumer, standing.epoch, clock::now_us()).await?;
                    }
                }
            }
        }
    }

    async fn catch_up(
        &self,
        archive: &Archive,
        standing: &Standing,
        before: i64,
    ) -> Result<End, BoxError> {
        let catch_up = CatchUp {
            db: self.turn.db,
            archive,
            queues: self.queues,
            durable: self.turn.consumer,
            subject: self.subject,
            cancel: self.cancel,
            care: self.care,
        };
        match catch_up.run(standing, before).await {
            Ok(()) => Ok(End::CaughtUp),
            Err(error) => match error.downcast_ref() {
                Some(status) if archive::is_absent(status) => {
                    tracing::warn!(
                        consumer = self.turn.consumer,
                        "the publisher keeps no archive: events that the stream no longer holds are not seen"
                    );
                    Ok(End::CaughtUp)
                }
                _ => Err(error),
            },
        }
    }

    /// Finds or makes the durable, with nothing outstanding.
    async fn attach(&self, stream: &Stream) -> Result<Attached, BoxError> {
        let found = match stream.consumer_info(self.turn.consumer).await {
            Ok(info) => Some(info),
            Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        let state = stream.get_info().await?.state;
        let wanted = self.config(DeliverPolicy::All);
        let Some(found) = found else {
            let consumer = stream.create_consumer(wanted).await?;
            return Ok(Self::attached(consumer, 0, true));
        };
        let floor = found.ack_floor.stream_sequence;
        if found.num_ack_pending > 0 {
            let delivered = found.delivered.stream_sequence;
            self.care
                .begin(self.turn.db, self.turn.consumer, floor, delivered)
                .await?;
        }
        // Servers before 2.14 would skip what is published next.
        let beyond =
            floor > state.last_sequence || found.delivered.stream_sequence > state.last_sequence;
        let gap = beyond || floor + 1 < state.first_sequence;
        let unchanged = found.config.filter_subject == wanted.filter_subject
            && found.config.ack_wait == wanted.ack_wait
            && found.config.max_ack_pending == wanted.max_ack_pending;
        if unchanged && !beyond && found.num_ack_pending == 0 {
            let delivered = found.delivered.consumer_sequence;
            let consumer = stream.get_consumer(self.turn.consumer).await?;
            return Ok(Self::attached(consumer, delivered, gap));
        }
        stream.delete_consumer(self.turn.consumer).await?;
        let policy = match beyond {
            true => DeliverPolicy::All,
            false => DeliverPolicy::ByStartSequence {
                start_sequence: floor + 1,
            },
        };
        let consumer = stream.create_consumer(self.config(policy)).await?;
        Ok(Self::attached(consumer, 0, gap))
    }

    fn attached(consumer: PullConsumer, delivered: u64, gap: bool) -> Attached {
        let is_empty = consumer.cached_info().num_pending == 0;
        Attached {
            consumer,
            delivered,
            gap,
            is_empty,
        }
    }

    fn config(&self, deliver_policy: DeliverPolicy) -> pull::Config {
        pull::Config {
            durable_name: Some(self.turn.consumer.to_owned()),
            filter_subject: self.subject.to_owned(),
            deliver_policy,
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            max_ack_pending: MAX_HELD_EVENTS as i64,
            ..Default::default()
        }
    }
}

//! The task of one saga: calls, waits, records, until the saga ends or has to wait for long.

use std::time::Duration;

use chassis::{
    clock,
    context::{self, Context},
    outbox::Envelope,
    telemetry,
};
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, oneshot},
    time::{Instant, sleep, sleep_until},
};
use tracing::Instrument as _;

use super::{Engine, Intervention, places::Place};
use crate::{
    domain::{
        Micros,
        outcome::Outcome,
        saga::{Order, Refused, Saga},
        transition::{Operation, Transition},
    },
    participants::Identity,
    store::sagas::Hold,
};

/// A lease is renewed when this share of it is over.
pub(super) const RENEWAL_SHARE: u32 = 3;

mod keep;

/// An intervention for a saga that is being worked on.
pub(super) struct Command {
    pub(super) intervention: Intervention,
    /// What is remembered of it.
    pub(super) audit: Option<Envelope>,
    pub(super) done: oneshot::Sender<Result<(), Refused>>,
}

/// One saga at work.
pub(super) struct Drive {
    engine: Engine,
    saga: Saga,
    hold: Hold,
    commands: mpsc::Receiver<Command>,
    /// Goes with what is stored next.
    audit: Option<Envelope>,
    /// When it came into this process.
    since: Instant,
    /// Given back with the drive, however it ends.
    _place: Place,
}

/// What woke the task.
enum Wake {
    Outcome(Outcome),
    Command(Box<Command>),
    Due,
    Renewal,
    Drain,
}

/// The task is over: the saga ended, waits in its row, or belongs to somebody else.
struct Over;

type Calls = FuturesUnordered<BoxFuture<'static, Outcome>>;

impl Drive {
    pub(super) fn new(
        engine: &Engine,
        saga: Saga,
        hold: Hold,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let (place, commands) = engine.shared.places.enlist(saga.id(), hold.epoch, permit);
        Self {
            engine: engine.clone(),
            saga,
            hold,
            commands,
            audit: None,
            since: Instant::now(),
            _place: place,
        }
    }

    /// Runs in a task of its own. `orders` are durable already; `None`: the saga was just loaded.
    pub(super) fn spawn(
        self,
        traceparent: Option<&str>,
        request_id: Option<&str>,
        orders: Option<Vec<Order>>,
    ) {
        let context = Context::new(request_id);
        let entry = telemetry::entry_span(
            telemetry::Kind::Internal,
            "saga",
            &context.request_id,
            traceparent,
        );
        let name = self.saga.definition().name.clone();
        let span = tracing::info_span!(parent: &entry, "saga", saga_id = %self.saga.id(), definition = name);
        let tasks = self.engine.shared.tasks.clone();
        tasks.spawn(context::scope(context, self.run(orders).instrument(span)));
    }

    async fn run(mut self, orders: Option<Vec<Order>>) {
        let _running = self
            .engine
            .shared
            .metrics
            .running(&self.saga.definition().name);
        // Ends with `Over` only.
        let Err(Over) = self.work(orders).await;
    }

    async fn work(&mut self, orders: Option<Vec<Order>>) -> Result<std::convert::Infallible, Over> {
        let mut calls = Calls::new();
        let mut orders = match orders {
            Some(orders) => orders,
            None => self.go_on(Vec::new()).await?,
        };
        loop {
            if self.hold.lease_until <= clock::now_us() {
                // Nothing may go out by a lease that is over.
                return Err(self.lost("the lease ran out"));
            }
            calls.extend(orders.drain(..).map(|order| self.call(order)));
            let mut transitions = Vec::new();
            match self.wait(&mut calls).await {
                Wake::Outcome(outcome) => {
                    self.settle(outcome, &mut transitions);
                    while let Some(Some(outcome)) = calls.next().now_or_never() {
                        self.settle(outcome, &mut transitions);
                    }
                    if calls.is_empty() && self.is_too_many() {
                        return Err(self.leave(&transitions).await);
                    }
                    orders = self.go_on(transitions).await?;
                }
                Wake::Due if calls.is_empty() && self.is_too_many() => {
                    return Err(self.leave(&transitions).await);
                }
                Wake::Due => orders = self.go_on(transitions).await?,
                Wake::Command(command) => orders = self.obey(*command).await?,
                Wake::Renewal => self.renew().await?,
                Wake::Drain => return Err(self.hand_over(calls).await),
            }
        }
    }

    async fn wait(&mut self, calls: &mut Calls) -> Wake {
        let now = clock::now_us();
        let lease = self.engine.shared.settings.lease;
        let renewal =
            until(self.hold.lease_until, now).saturating_sub(lease - lease / RENEWAL_SHARE);
        let due = self
            .saga
            .wake_at()
            .map(|at| Instant::now() + until(at, now));
        tokio::select! {
            biased;
            Some(outcome) = calls.next() => Wake::Outcome(outcome),
            Some(command) = self.commands.recv() => Wake::Command(Box::new(command)),
            () = self.engine.shared.stop.cancelled() => Wake::Drain,
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => Wake::Due,
            () = sleep(renewal) => Wake::Renewal,
        }
    }

    /// Calls a participant: only after the intent is durable.
    fn call(&self, order: Order) -> BoxFuture<'static, Outcome> {
        let (engine, definition) = (self.engine.clone(), self.saga.definition().clone());
        let (saga, epoch) = (self.saga.id(), self.hold.epoch);
        async move {
            let Order {
                step,
                item,
                operation,
                attempt,
                request,
            } = order;
            let definition = &definition.steps[step];
            let call = match operation {
                Operation::Action => &definition.call,
                Operation::Compensation => &definition.compensation,
            };
            let call = call.as_ref().expect("only what has a call is ordered");
            // Without an action to undo, the participant's barrier must not take it for an empty compensation.
            let shown = if definition.call.is_none() {
                Operation::Action
            } else {
                operation
            };
            let identity = Identity {
                saga,
                step: &definition.name,
                item,
                operation: shown,
                epoch,
            };
            let start = Instant::now();
            let result = engine
                .shared
                .participants
                .call(identity, call, request)
                .await;
            engine
                .shared
                .metrics
                .called(call, result.as_ref().err(), start.elapsed());
            if let Err(refusal) = &result {
                tracing::info!(
                    step = &*definition.name,
                    attempt,
                    code = refusal.code,
                    reason = refusal.reason,
                    text = refusal.message,
                    "a step was not done"
                );
            }
            Outcome {
                step,
                item,
                operation,
                attempt,
                result,
            }
        }
        .boxed()
    }

    fn settle(&mut self, outcome: Outcome, transitions: &mut Vec<Transition>) {
        let now = clock::now_us();
        let settled = self.saga.settle(outcome, now, chassis::backoff::chance());
        if let Some(transition) = settled {
            self.engine
                .shared
                .metrics
                .settled(&self.saga, &transition, now);
            transitions.push(transition);
        }
    }

    /// Stores what happened together with what follows, and answers the calls to make.
    async fn go_on(&mut self, transitions: Vec<Transition>) -> Result<Vec<Order>, Over> {
        let (orders, kept) = self.record(transitions).await?;
        if kept { Ok(orders) } else { Err(Over) }
    }

    /// As [`Self::go_on`], and whether the saga stays in this task.
    async fn record(
        &mut self,
        mut transitions: Vec<Transition>,
    ) -> Result<(Vec<Order>, bool), Over> {
        let now = clock::now_us();
        let advance = self.saga.advance(now);
        transitions.extend(advance.transitions);
        let lease = Some(self.hold.lease_until);
        let next = self.engine.outlook(&self.saga, now, lease);
        let kept = next.owner.is_some();
        if !transitions.is_empty() || !kept {
            self.store(&transitions, next, now).await?;
            self.engine.shared.metrics.ended(&self.saga, &transitions);
        }
        Ok((advance.orders, kept))
    }

    async fn obey(&mut self, command: Command) -> Result<Vec<Order>, Over> {
        match command.intervention.apply(&mut self.saga) {
            Ok(transitions) => {
                self.audit = command.audit.filter(|_| !transitions.is_empty());
                // Where it cannot be stored the sender is dropped, and the operator's call tries another way.
                let (orders, kept) = self.record(transitions).await?;
                let _ = command.done.send(Ok(()));
                if kept { Ok(orders) } else { Err(Over) }
            }
            Err(refused) => {
                let _ = command.done.send(Err(refused));
                Ok(Vec::new())
            }
        }
    }
}

/// The time from `now` until `at`; none where it has passed.
fn until(at: Micros, now: Micros) -> Duration {
    Duration::from_micros(u64::try_from(at.saturating_sub(now)).unwrap_or(0))
}

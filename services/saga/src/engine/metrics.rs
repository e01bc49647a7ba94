//! What operators see of the engine.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chassis::{clock, telemetry::meter};
use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram, Meter, UpDownCounter},
};

use crate::{
    domain::{
        Micros,
        definition::Call,
        outcome::Refusal,
        saga::Saga,
        transition::{Operation, Sequel, Transition},
    },
    store::{due::Open, entity::saga::State},
};

pub(super) struct Metrics {
    started: Counter<u64>,
    ended: Counter<u64>,
    running: UpDownCounter<i64>,
    calls: Histogram<f64>,
    takeovers: Counter<u64>,
    lost: Counter<u64>,
    retries: Counter<u64>,
    steps: Histogram<f64>,
    open: Counts,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let meter = meter();
        let open = Arc::default();
        observe(&meter, &open);
        Self {
            started: meter
                .u64_counter("saga_started")
                .with_description("Sagas that began")
                .build(),
            ended: meter
                .u64_counter("saga_ended")
                .with_description(
                    "Sagas that completed, were compensated or parked, by definition and state",
                )
                .build(),
            running: meter
                .i64_up_down_counter("saga_running")
                .with_description("Sagas that this process works on")
                .build(),
            calls: meter
                .f64_histogram("saga_call_duration")
                .with_unit("s")
                .with_description("Calls of participants, by method and status")
                .build(),
            takeovers: meter
                .u64_counter("saga_lease_takeovers")
                .with_description("Sagas taken over from another orchestrator")
                .build(),
            lost: meter
                .u64_counter("saga_leases_lost")
                .with_description("Sagas that this process had to let go")
                .build(),
            retries: meter
                .u64_counter("saga_retries")
                .with_description(
                    "Attempts of steps that failed and are made again, by definition and step",
                )
                .build(),
            steps: meter
                .f64_histogram("saga_step_duration")
                .with_unit("s")
                .with_description(
                    "Time from a step's first attempt to its success, by definition and step",
                )
                .build(),
            open,
        }
    }

    pub(super) fn started(&self, definition: &str) {
        self.started
            .add(1, &[KeyValue::new("definition", definition.to_owned())]);
    }

    pub(super) fn ended(&self, saga: &Saga, transitions: &[Transition]) {
        for transition in transitions {
            let state = match transition {
                Transition::Completed => "completed",
                Transition::Compensated => "compensated",
                Transition::Parked { .. } => "parked",
                _ => continue,
            };
            let definition = KeyValue::new("definition", saga.definition().name.clone());
            self.ended
                .add(1, &[definition, KeyValue::new("state", state)]);
            tracing::info!(saga_id = %saga.id(), key = saga.key(), state, "a saga came to rest");
        }
    }

    /// Counts a saga at work until the value is dropped.
    pub(super) fn running(&self, definition: &str) -> impl Drop + use<> {
        let (running, definition) = (
            self.running.clone(),
            KeyValue::new("definition", definition.to_owned()),
        );
        running.add(1, std::slice::from_ref(&definition));
        Gauge {
            running,
            definition,
        }
    }

    pub(super) fn called(&self, call: &Call, refusal: Option<&Refusal>, took: Duration) {
        let code = refusal.map_or_else(|| "OK".to_owned(), |refusal| refusal.code.clone());
        let method = KeyValue::new("method", call.path.to_string());
        self.calls
            .record(took.as_secs_f64(), &[method, KeyValue::new("code", code)]);
    }

    pub(super) fn taken_over(&self, definition: &str) {
        self.takeovers
            .add(1, &[KeyValue::new("definition", definition.to_owned())]);
    }

    pub(super) fn lost(&self) {
        self.lost.add(1, &[]);
    }

    /// Notes retries and steps that were done.
    pub(super) fn settled(&self, saga: &Saga, transition: &Transition, now: Micros) {
        let labels = |step: usize| {
            let definition = saga.definition();
            [
                KeyValue::new("definition", definition.name.clone()),
                KeyValue::new("step", definition.steps[step].name.to_string()),
            ]
        };
        match transition {
            Transition::Failed {
                step,
                sequel: Sequel::Again { .. },
                ..
            } => self.retries.add(1, &labels(*step)),
            Transition::Answered {
                step,
                item,
                operation: Operation::Action,
                ..
            } => {
                let mut units = saga.steps()[*step].units();
                let unit = units.find(|unit| unit.item == *item);
                if let Some(since) = unit.and_then(|unit| unit.action.since) {
                    let took = Duration::from_micros(u64::try_from(now - since).unwrap_or(0));
                    self.steps.record(took.as_secs_f64(), &labels(*step));
                }
            }
            _ => {}
        }
    }

    /// What has not ended, as the database counts it.
    pub(super) fn open(&self, counted: Vec<Open>) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        // What is gone shows as none, not as what it was.
        for (count, _) in open.values_mut() {
            *count = 0;
        }
        for counted in counted {
            let state = match counted.state {
                State::Compensating => "compensating",
                State::Parked => "parked",
                _ => "running",
            };
            let of = (counted.definition, state);
            open.insert(of, (counted.sagas, counted.oldest));
        }
    }
}

type Counts = Arc<Mutex<BTreeMap<(String, &'static str), (i64, Micros)>>>;

fn observe(meter: &Meter, open: &Counts) {
    let labels = |(definition, state): &(String, &'static str)| {
        [
            KeyValue::new("definition", definition.clone()),
            KeyValue::new("state", *state),
        ]
    };
    let counted = Arc::clone(open);
    meter
        .i64_observable_gauge("saga_open")
        .with_description("Sagas that have not ended, of all replicas, by definition and state")
        .with_callback(move |gauge| {
            let counted = counted.lock().unwrap_or_else(PoisonError::into_inner);
            for (of, (count, _)) in counted.iter() {
                gauge.observe(*count, &labels(of));
            }
        })
        .build();
    let counted = Arc::clone(open);
    meter
        .f64_observable_gauge("saga_oldest_age")
        .with_unit("s")
        .with_description(
            "Time since the oldest saga began that has not ended, by definition and state",
        )
        .with_callback(move |gauge| {
            let counted = counted.lock().unwrap_or_else(PoisonError::into_inner);
            for (of, (count, oldest)) in counted.iter() {
                let age = clock::now_us().saturating_sub(*oldest).max(0);
                let age = Duration::from_micros(u64::try_from(age).unwrap_or(0));
                let age = if *count == 0 { 0.0 } else { age.as_secs_f64() };
                gauge.observe(age, &labels(of));
            }
        })
        .build();
    let counted = Arc::clone(open);
    meter
        .i64_observable_gauge("saga_parked")
        .with_description("Sagas that wait for an operator, by definition")
        .with_callback(move |gauge| {
            let counted = counted.lock().unwrap_or_else(PoisonError::into_inner);
            for ((definition, state), (count, _)) in counted.iter() {
                if *state == "parked" {
                    gauge.observe(*count, &[KeyValue::new("definition", definition.clone())]);
                }
            }
        })
        .build();
}

struct Gauge {
    running: UpDownCounter<i64>,
    definition: KeyValue,
}

impl Drop for Gauge {
    fn drop(&mut self) {
        self.running.add(-1, std::slice::from_ref(&self.definition));
    }
}

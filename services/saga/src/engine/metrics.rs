//! What operators see of the engine.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chassis::telemetry::meter;
use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram, UpDownCounter},
};

use crate::domain::{definition::Call, outcome::Refusal, saga::Saga, transition::Transition};

pub(super) struct Metrics {
    started: Counter<u64>,
    ended: Counter<u64>,
    running: UpDownCounter<i64>,
    calls: Histogram<f64>,
    takeovers: Counter<u64>,
    lost: Counter<u64>,
    parked: Arc<Mutex<BTreeMap<String, i64>>>,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let meter = meter();
        let parked = Arc::new(Mutex::new(BTreeMap::<String, i64>::new()));
        let counted = Arc::clone(&parked);
        meter
            .i64_observable_gauge("saga_parked")
            .with_description("Sagas that wait for an operator, by definition")
            .with_callback(move |gauge| {
                for (definition, count) in counted
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .iter()
                {
                    gauge.observe(*count, &[KeyValue::new("definition", definition.clone())]);
                }
            })
            .build();
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
            parked,
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

    pub(super) fn parked(&self, counts: Vec<(String, i64)>) {
        let mut parked = self.parked.lock().unwrap_or_else(PoisonError::into_inner);
        for count in parked.values_mut() {
            *count = 0;
        }
        parked.extend(counts);
    }
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

//! One saga as a picture: its steps as a tree, when each was called, and what went wrong.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::view::{Attempt, Saga, Step, Time, length, word};

/// Characters of the time axis.
const WIDTH: usize = 40;
/// Most failed attempts of one step that are written out; the last ones.
const MAX_ERRORS: usize = 3;

const DONE: char = '█';
const UNDONE: char = '◀';
const FAILED: char = '×';
const WAITING: char = '·';

/// The saga as it stands at `now`.
#[must_use]
pub fn draw(saga: &Saga, now: Time) -> String {
    let axis = Axis::of(saga, now);
    let depths = depths(&saga.steps);
    let names: Vec<String> = saga
        .steps
        .iter()
        .zip(&depths)
        .map(|(step, depth)| format!("{}{}", "  ".repeat(*depth), step.name))
        .collect();
    let widest = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or(0);
    let name_width = widest(&mut names.iter().map(|name| name.chars().count()));
    let state_width = widest(&mut saga.steps.iter().map(|step| word(&step.state).len()));

    let mut out = heading(saga, now);
    let end = length(axis.length());
    let gap = WIDTH.saturating_sub(1 + end.chars().count());
    let _ = writeln!(out, "\n  {:name_width$}  0{:gap$}{end}", "", "");
    for (step, name) in saga.steps.iter().zip(&names) {
        let line = format!(
            "  {name:name_width$}  {}  {:state_width$}  {}",
            axis.bar(step),
            word(&step.state),
            notes(step, now)
        );
        let _ = writeln!(out, "{}", line.trim_end());
    }
    errors(saga, &mut out);
    interventions(saga, &mut out);
    out
}

fn heading(saga: &Saga, now: Time) -> String {
    let mut out = format!(
        "{} {}  {}\n  key {}, version {}",
        saga.definition,
        saga.saga_id,
        word(&saga.state).to_uppercase(),
        saga.key,
        saga.version
    );
    if let Some(start) = saga.create_time {
        let over = saga.is_over().then_some(saga.update_time).flatten();
        let took = length(over.unwrap_or(now).since(start));
        let verb = if over.is_some() { "took" } else { "since" };
        let _ = write!(out, ", began {}, {verb} {took}", start.text());
    }
    out.push('\n');
    if let Some(failure) = &saga.failure {
        let step = match failure.step.as_str() {
            "" => String::new(),
            step => format!(" at {step}"),
        };
        let why = [&failure.code, &failure.reason, &failure.message];
        let why: Vec<&str> = why
            .into_iter()
            .map(String::as_str)
            .filter(|text| !text.is_empty())
            .collect();
        let _ = writeln!(out, "  failed{step}: {}", why.join(" "));
    }
    out
}

/// How many steps stand before each at least, along its longest way.
fn depths(steps: &[Step]) -> Vec<usize> {
    let places: HashMap<&str, usize> = steps
        .iter()
        .enumerate()
        .map(|(place, step)| (&*step.name, place))
        .collect();
    let mut depths = vec![0; steps.len()];
    // A step may stand above one that it comes after; as many rounds as there are steps settle all.
    for _ in 0..steps.len() {
        let before = depths.clone();
        for (place, step) in steps.iter().enumerate() {
            let parents = step
                .after
                .iter()
                .filter_map(|name| places.get(name.as_str()));
            depths[place] = parents
                .map(|parent| depths[*parent] + 1)
                .max()
                .unwrap_or(0)
                .min(steps.len());
        }
        if depths == before {
            break;
        }
    }
    depths
}

fn notes(step: &Step, now: Time) -> String {
    let mut notes = Vec::new();
    let spent: Duration = step
        .attempts
        .iter()
        .filter_map(|attempt| Some(attempt.end_time?.since(attempt.start_time?)))
        .sum();
    let calls = step
        .attempts
        .iter()
        .filter(|attempt| attempt.number > 0)
        .count();
    if calls > 0 {
        notes.push(length(spent));
    }
    if calls > 1 {
        notes.push(format!("{calls} attempts"));
    }
    if !step.items.is_empty() {
        let done = step
            .items
            .iter()
            .filter(|state| *state == "STEP_STATE_DONE")
            .count();
        notes.push(format!("{done} of {} items done", step.items.len()));
    }
    if !step.signal.is_empty() {
        let until = step
            .signal_deadline_time
            .map(|end| format!(" until {}", end.text()));
        notes.push(format!(
            "waits for the signal `{}`{}",
            step.signal,
            until.unwrap_or_default()
        ));
    }
    if let Some(next) = step.next_attempt_time {
        notes.push(format!("next attempt in {}", length(next.since(now))));
    }
    if step.after.len() > 1 {
        notes.push(format!("after {}", step.after.join(", ")));
    }
    notes.join(", ")
}

fn errors(saga: &Saga, out: &mut String) {
    let mut first = true;
    for step in &saga.steps {
        let failed: Vec<&Attempt> = step
            .attempts
            .iter()
            .filter(|attempt| attempt.failed())
            .collect();
        let hidden = failed.len().saturating_sub(MAX_ERRORS);
        for (place, attempt) in failed.iter().enumerate().skip(hidden) {
            if std::mem::take(&mut first) {
                out.push_str("\n  errors\n");
            }
            let more = if place == hidden && hidden > 0 {
                format!(" (and {hidden} before)")
            } else {
                String::new()
            };
            let undoing = if attempt.undoes() { ", undoing" } else { "" };
            let item = attempt
                .item
                .map(|item| format!("[{item}]"))
                .unwrap_or_default();
            let number = match attempt.number {
                0 => String::new(),
                number => format!(" attempt {number}"),
            };
            let parts = [&attempt.code, &attempt.reason, &attempt.message];
            let parts: Vec<&str> = parts
                .into_iter()
                .map(String::as_str)
                .filter(|text| !text.is_empty())
                .collect();
            let _ = writeln!(
                out,
                "    {}{item}{number}{undoing}: {}{more}",
                step.name,
                parts.join(" ")
            );
        }
    }
}

fn interventions(saga: &Saga, out: &mut String) {
    if !saga.interventions.is_empty() {
        out.push_str("\n  interventions\n");
    }
    for done in &saga.interventions {
        let item = done
            .item
            .map(|item| format!("[{item}]"))
            .unwrap_or_default();
        let what = match (done.step.as_str(), done.signal.as_str()) {
            ("", "") => String::new(),
            (_, signal) if !signal.is_empty() => format!(" `{signal}`"),
            (step, _) => format!(" {step}{item}"),
        };
        let reason = match done.reason.as_str() {
            "" => String::new(),
            reason => format!(": {reason}"),
        };
        let time = done.time.map(Time::text).unwrap_or_default();
        let _ = writeln!(
            out,
            "    {time}  {}{what} by {}{reason}",
            word(&done.kind),
            done.actor
        );
    }
}

/// From the saga's start to its end, or to now.
struct Axis {
    start: Time,
    end: Time,
}

impl Axis {
    fn of(saga: &Saga, now: Time) -> Self {
        let start = saga.create_time.unwrap_or(now);
        let end = if saga.is_over() {
            saga.update_time
        } else {
            Some(now)
        };
        Self {
            start,
            end: end.unwrap_or(now).max(start),
        }
    }

    fn length(&self) -> Duration {
        self.end.since(self.start)
    }

    fn column(&self, time: Time) -> usize {
        let whole = self.length().as_nanos().max(1);
        let part = time.since(self.start).as_nanos() * (WIDTH as u128 - 1) / whole;
        usize::try_from(part).unwrap_or(WIDTH).min(WIDTH - 1)
    }

    fn bar(&self, step: &Step) -> String {
        let mut cells = vec![' '; WIDTH];
        let mut last: Option<usize> = None;
        for attempt in &step.attempts {
            let Some(start) = attempt.start_time.map(|time| self.column(time)) else {
                continue;
            };
            let end = self.column(attempt.end_time.unwrap_or(self.end)).max(start);
            // Between two calls it waits.
            if let Some(last) = last {
                cells[(last + 1).min(start)..start].fill(WAITING);
            }
            let mark = match (attempt.failed(), attempt.undoes()) {
                (true, _) => FAILED,
                (false, true) => UNDONE,
                (false, false) => DONE,
            };
            cells[start..=end].fill(mark);
            last = Some(end);
        }
        let waits = !step.signal.is_empty() || step.next_attempt_time.is_some();
        if waits {
            let from = last.map_or(0, |last| last + 1);
            cells[from.min(WIDTH)..].fill(WAITING);
        }
        cells.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn time(text: &str) -> Time {
        Time::try_from(format!("2026-11-21T03:17:{text}Z")).unwrap()
    }

    #[test]
    fn a_parked_saga_is_drawn_with_its_attempts_errors_and_interventions() {
        let attempt = |number: i32, start: &str, end: &str, code: &str| {
            json!({"operation": "OPERATION_ACTION", "number": number, "code": code,
                "startTime": format!("2026-11-21T03:17:{start}Z"), "endTime": format!("2026-11-21T03:17:{end}Z"),
                "reason": if code == "OK" { "" } else { "DOWN" }})
        };
        let saga: Saga = serde_json::from_value(json!({
            "sagaId": "01a1", "definition": "checkout", "version": 2, "key": "k", "state": "SAGA_STATE_PARKED", "epoch": "1",
            "createTime": "2026-11-21T03:17:00Z", "updateTime": "2026-11-21T03:17:08Z",
            "failure": {"step": "take", "code": "UNAVAILABLE", "reason": "DOWN", "message": "gone"},
            "steps": [
                {"name": "hold", "state": "STEP_STATE_DONE", "attempts": [attempt(1, "00", "02", "OK")]},
                {"name": "ask", "state": "STEP_STATE_AWAITING_SIGNAL", "after": ["hold"], "signal": "approval"},
                {"name": "take", "state": "STEP_STATE_PARKED", "after": ["hold"],
                    "attempts": [attempt(1, "02", "04", "UNAVAILABLE"), attempt(2, "06", "08", "UNAVAILABLE")]},
            ],
            "interventions": [{"kind": "INTERVENTION_KIND_RETRIED", "actor": "user:1", "reason": "is back",
                "time": "2026-11-21T03:17:05Z"}],
        }))
        .unwrap();
        let drawn = draw(&saga, time("10"));
        let expected = "\
checkout 01a1  PARKED
  key k, version 2, began 2026-11-21 03:17:00Z, since 10.0 s
  failed at take: UNAVAILABLE DOWN gone

          0                                 10.0 s
  hold    ████████                                  done             2.0 s
    ask   ········································  awaiting signal  waits for the signal `approval`
    take         ×××××××××·······×××××××××          parked           4.0 s, 2 attempts

  errors
    take attempt 1: UNAVAILABLE DOWN
    take attempt 2: UNAVAILABLE DOWN

  interventions
    2026-11-21 03:17:05Z  retried by user:1: is back
";
        assert_eq!(drawn, expected);
    }

    #[test]
    fn a_diamond_is_as_deep_as_its_longest_way() {
        let step = |name: &str, after: &[&str]| Step {
            name: name.into(),
            after: after.iter().map(|name| (*name).into()).collect(),
            ..Step::default()
        };
        let steps = [
            step("d", &["b", "c"]),
            step("a", &[]),
            step("b", &["a"]),
            step("c", &["b"]),
        ];
        assert_eq!(depths(&steps), [3, 0, 1, 2]);
    }
}

//! What each record of the log changes.

use std::{collections::HashMap, sync::Arc};

use prost::bytes::Bytes;
use prost_reflect::{DynamicMessage, MessageDescriptor};

use super::{ItemRun, Progress, Run, Saga, Signal, State, StepRun, decode, items};
use crate::{
    domain::transition::{Failure, Operation, Sequel, Transition, Verdict},
    expression::from_message,
};

impl Saga {
    /// Takes one transition over.
    ///
    /// # Errors
    /// As [`Self::replay`].
    pub fn apply(&mut self, transition: &Transition) -> Result<(), String> {
        match transition {
            Transition::Passed { step } => self.settle_step(*step, Progress::Done)?,
            Transition::Skipped { step } => self.settle_step(*step, Progress::Skipped)?,
            Transition::Fanned { step, items } => self.fan_out(*step, items)?,
            Transition::Awaited { step, until } => {
                self.settle_step(*step, Progress::Awaiting { until: *until })?;
            }
            Transition::Received { step, signal } => self.receive(*step, *signal)?,
            Transition::Called {
                step,
                item,
                at,
                operation,
                attempt,
            } => self.run(*step, *item, *operation)?.called(*attempt, *at),
            Transition::Answered {
                step,
                item,
                operation,
                reply,
                ..
            } => {
                let run = self.run(*step, *item, *operation)?;
                run.progress = Progress::Done;
                // Whatever comes now is answered the same.
                run.stray = false;
                if *operation == Operation::Action {
                    self.done(*step, *item, reply.as_ref())?;
                }
            }
            Transition::Failed {
                step,
                item,
                operation,
                failure,
                doubtful,
                sequel,
                ..
            } => {
                let run = self.run(*step, *item, *operation)?;
                run.doubtful |= doubtful;
                run.stray |= doubtful;
                run.failure = Some(failure.clone());
                run.progress = match sequel {
                    Sequel::Again { at } => Progress::Due { at: *at },
                    Sequel::Disputed { .. } => Progress::Disputed,
                    Sequel::Refused => Progress::Refused,
                    Sequel::GivenUp => Progress::Unknown,
                    Sequel::Parked => Progress::Parked,
                };
            }
            Transition::TurnedBack { failure } => self.turn_back(failure),
            Transition::Cancelled { .. } => {}
            Transition::Retried { .. } => self.retried(),
            Transition::Overridden {
                step,
                item,
                operation,
                verdict,
                ..
            } => {
                self.unpark();
                self.overrule(*step, *item, *operation, verdict)?;
            }
            Transition::Signalled {
                signal,
                id,
                payload,
                ..
            } => self.signals.push(Signal {
                name: Arc::clone(signal),
                id: id.clone(),
                payload: payload.clone(),
                taken: false,
            }),
            Transition::Parked { failure } => {
                self.state = State::Parked;
                self.parked = Some(failure.clone());
            }
            Transition::Completed => self.state = State::Completed,
            Transition::Compensated => self.state = State::Compensated,
        }
        Ok(())
    }

    fn turn_back(&mut self, failure: &Failure) {
        self.state = State::Compensating;
        self.parked = None;
        let texts = [
            ("step", failure.step.to_string()),
            ("code", failure.code.clone()),
            ("reason", failure.reason.clone()),
            ("message", failure.message.clone()),
        ];
        let texts = HashMap::from(texts.map(|(name, text)| (name.to_owned(), text)));
        self.variables.named.insert("failure", texts.into());
        self.turned = Some(failure.clone());
        for (action, _) in self.steps.iter_mut().flat_map(StepRun::runs_mut) {
            action.abandon();
        }
    }

    fn retried(&mut self) {
        self.unpark();
        for (step, run) in self.definition.steps.iter().zip(&mut self.steps) {
            // Only what has items, or none, can have been called.
            let calls = step.call.is_some() && (step.for_each.is_none() || run.items.is_some());
            for (action, compensation) in run.runs_mut() {
                action.retry(calls);
                compensation.retry(true);
            }
        }
    }

    /// Whether it is still stuck shows when it goes on.
    fn unpark(&mut self) {
        if self.state == State::Parked {
            self.state = if self.turned.is_some() {
                State::Compensating
            } else {
                State::Running
            };
            self.parked = None;
        }
    }

    fn overrule(
        &mut self,
        step: usize,
        item: Option<u32>,
        operation: Operation,
        verdict: &Verdict,
    ) -> Result<(), String> {
        let run = self.steps.get(step).ok_or("there is no such step")?;
        let open: Vec<_> = run
            .units()
            .filter(|unit| item.is_none() || unit.item == item)
            .filter(|unit| match operation {
                Operation::Action => !unit.action.progress.is_settled(),
                Operation::Compensation => unit.compensation.progress != Progress::Done,
            })
            .map(|unit| unit.item)
            .collect();
        for item in open {
            let run = self.run(step, item, operation)?;
            match (operation, verdict) {
                (Operation::Compensation, _) | (_, Verdict::Done(_)) => {
                    run.overrule(Progress::Done);
                }
                (_, Verdict::Skipped) => run.overrule(Progress::Skipped),
                (_, Verdict::Failed(failure)) => {
                    run.overrule(Progress::Refused);
                    run.failure = Some(failure.clone());
                }
            }
            match (operation, verdict) {
                (Operation::Action, Verdict::Done(reply)) => {
                    self.done(step, item, reply.as_ref())?;
                }
                (Operation::Action, Verdict::Skipped) => self.gather(step)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn settle_step(&mut self, step: usize, progress: Progress) -> Result<(), String> {
        self.run(step, None, Operation::Action)?.progress = progress;
        Ok(())
    }

    fn fan_out(&mut self, step: usize, encoded: &Bytes) -> Result<(), String> {
        let items = items::decode(encoded)?;
        let run = self.steps.get_mut(step).ok_or("there is no such step")?;
        run.items = Some(vec![ItemRun::default(); items.len()]);
        run.action.progress = Progress::Fanned;
        self.items.insert(step, items);
        self.gather(step)
    }

    fn receive(&mut self, step: usize, signal: usize) -> Result<(), String> {
        let signal = self
            .signals
            .get_mut(signal)
            .ok_or("there is no such signal")?;
        signal.taken = true;
        let payload = signal.payload.clone();
        self.settle_step(step, Progress::Done)?;
        self.done(step, None, Some(&payload))
    }

    /// A step, or one item of it, was done.
    fn done(
        &mut self,
        step: usize,
        item: Option<u32>,
        reply: Option<&Bytes>,
    ) -> Result<(), String> {
        if let (Some(reply), true) = (reply, self.definition.steps[step].reply_is_read) {
            let reply = from_message(&decode(&self.output(step)?, reply)?);
            match item {
                Some(item) => {
                    self.item_replies
                        .entry(step)
                        .or_default()
                        .insert(item, reply);
                }
                None => {
                    let name = Arc::clone(&self.definition.steps[step].name);
                    self.variables.replies.insert(name, reply);
                }
            }
        }
        self.gather(step)
    }

    /// A step is done once all of its items are; then others see their replies as a list.
    fn gather(&mut self, step: usize) -> Result<(), String> {
        let run = &self.steps[step];
        let Some(items) = &run.items else {
            return Ok(());
        };
        if run.action.progress != Progress::Fanned
            || !items.iter().all(|item| item.action.progress.is_settled())
        {
            return Ok(());
        }
        let count = u32::try_from(items.len()).map_err(|error| error.to_string())?;
        self.steps[step].action.progress = Progress::Done;
        if self.definition.steps[step].reply_is_read {
            // What was left out has no reply: others see the empty one.
            let empty = from_message(&DynamicMessage::new(self.output(step)?));
            let replies = self.item_replies.get(&step);
            let replies: Vec<_> = (0..count)
                .map(|item| {
                    replies
                        .and_then(|replies| replies.get(&item))
                        .unwrap_or(&empty)
                })
                .cloned()
                .collect();
            let name = Arc::clone(&self.definition.steps[step].name);
            self.variables.replies.insert(name, replies.into());
        }
        Ok(())
    }

    /// What a reply of the step is, or of one of its items.
    pub(super) fn output(&self, step: usize) -> Result<MessageDescriptor, String> {
        let step = &self.definition.steps[step];
        let call = step.call.as_ref().map(|call| &call.output);
        let signal = step.wait_for.as_ref().map(|wait| &wait.payload);
        call.or(signal)
            .cloned()
            .ok_or_else(|| format!("step {} has no reply", step.name))
    }

    pub(super) fn run(
        &mut self,
        step: usize,
        item: Option<u32>,
        operation: Operation,
    ) -> Result<&mut Run, String> {
        let run = self
            .steps
            .get_mut(step)
            .ok_or_else(|| format!("there is no step {step}"))?;
        let (action, compensation) = match item {
            None => (&mut run.action, &mut run.compensation),
            Some(item) => {
                let items = run.items.as_mut();
                let run = items
                    .and_then(|items| items.get_mut(item as usize))
                    .ok_or_else(|| format!("step {step} has no item {item}"))?;
                (&mut run.action, &mut run.compensation)
            }
        };
        Ok(match operation {
            Operation::Action => action,
            Operation::Compensation => compensation,
        })
    }
}

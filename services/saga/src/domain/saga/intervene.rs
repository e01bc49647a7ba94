//! What operators may do to a saga.

use super::{Refused, Saga, State};
use crate::domain::transition::{Failure, Transition};

/// `failure.reason` where somebody aborted the saga.
const CANCELLED: &str = "SAGA_CANCELLED";

impl Saga {
    /// Puts a parked saga to work again.
    ///
    /// # Errors
    /// It is not parked.
    pub fn retry(&mut self, by: String, reason: String) -> Result<Vec<Transition>, Refused> {
        if self.state != State::Parked {
            return Err(Refused::NotParked);
        }
        Ok(self.take(vec![Transition::Retried { by, reason }]))
    }

    /// Aborts a saga before its pivot. One that is turning back already is left alone.
    ///
    /// # Errors
    /// It has completed, or has passed its pivot, or may have.
    pub fn cancel(&mut self, by: String, reason: String) -> Result<Vec<Transition>, Refused> {
        if self.state == State::Compensated || self.turned.is_some() {
            return Ok(Vec::new());
        }
        if self.state == State::Completed {
            return Err(Refused::Ended);
        }
        if !self.may_turn_back() {
            return Err(Refused::PastPivot);
        }
        let failure = Failure {
            code: "CANCELLED".into(),
            reason: CANCELLED.into(),
            message: reason.clone(),
            ..Failure::default()
        };
        Ok(self.take(vec![
            Transition::Cancelled { by, reason },
            Transition::TurnedBack { failure },
        ]))
    }

    fn take(&mut self, transitions: Vec<Transition>) -> Vec<Transition> {
        for transition in &transitions {
            self.apply(transition)
                .expect("a saga's own decisions fit its definition");
        }
        transitions
    }
}

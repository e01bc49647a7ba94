//! What may happen to an order that is placed.

use super::{Order, OrderError, Rejection, Status};
use crate::domain::event::Event;

impl Order {
    /// Accepts the order. `None` where that was done before.
    ///
    /// # Errors
    /// The order is no longer pending, or the account may not buy any more.
    pub fn confirm(&self, account_active: bool) -> Result<Option<Event>, OrderError> {
        match self.parts.status {
            Status::Confirmed
            | Status::ReturnRequested
            | Status::Returned
            | Status::ReturnDeclined => Ok(None),
            Status::Cancelled => Err(OrderError::Cancelled),
            Status::Rejected => Err(OrderError::Rejected),
            Status::Pending if !account_active => Err(OrderError::AccountInactive),
            Status::Pending => Ok(Some(Event::Confirmed)),
        }
    }

    /// Turns the order down. `None` where it was turned down or taken back before.
    ///
    /// # Errors
    /// [`OrderError::Confirmed`].
    pub fn reject(&self, rejection: Rejection) -> Result<Option<Event>, OrderError> {
        match self.parts.status {
            Status::Rejected | Status::Cancelled => Ok(None),
            Status::Confirmed
            | Status::ReturnRequested
            | Status::Returned
            | Status::ReturnDeclined => Err(OrderError::Confirmed),
            Status::Pending => Ok(Some(Event::Rejected(rejection))),
        }
    }

    /// Takes the order back. `None` where that was done before. `reason` is in the words of whoever does it.
    ///
    /// # Errors
    /// It was turned down, or a return of it was asked for.
    pub fn cancel(&self, reason: &str) -> Result<Option<Event>, OrderError> {
        match self.parts.status {
            Status::Cancelled => Ok(None),
            Status::Rejected => Err(OrderError::Rejected),
            Status::ReturnRequested => Err(OrderError::ReturnRequested),
            Status::Returned => Err(OrderError::Returned),
            Status::ReturnDeclined => Err(OrderError::ReturnDeclined),
            Status::Pending | Status::Confirmed => Ok(Some(Event::Cancelled {
                was_confirmed: self.parts.status == Status::Confirmed,
                reason: reason.to_owned(),
            })),
        }
    }

    /// Asks to send the order back. `None` where that was done before, also if it was accepted since. `reason` is in the
    /// customer's words.
    ///
    /// Nothing tells yet when an order arrives: a confirmed one counts as delivered.
    ///
    /// # Errors
    /// The order never was confirmed, was taken back, or its return was declined.
    pub fn request_return(&self, reason: &str) -> Result<Option<Event>, OrderError> {
        match self.parts.status {
            Status::ReturnRequested | Status::Returned => Ok(None),
            Status::Pending => Err(OrderError::NotDelivered),
            Status::Rejected => Err(OrderError::Rejected),
            Status::Cancelled => Err(OrderError::Cancelled),
            Status::ReturnDeclined => Err(OrderError::ReturnDeclined),
            Status::Confirmed => Ok(Some(Event::ReturnRequested {
                reason: reason.to_owned(),
            })),
        }
    }

    /// Takes the order back from the customer. `None` where that was done before.
    ///
    /// # Errors
    /// [`OrderError::NoReturn`], [`OrderError::ReturnDeclined`].
    pub fn accept_return(&self) -> Result<Option<Event>, OrderError> {
        match self.parts.status {
            Status::Returned => Ok(None),
            Status::ReturnDeclined => Err(OrderError::ReturnDeclined),
            Status::ReturnRequested => Ok(Some(Event::Returned)),
            _ => Err(OrderError::NoReturn),
        }
    }

    /// Leaves the order with the customer; `message` is a sentence for the customer. `None` where that was done before.
    ///
    /// # Errors
    /// [`OrderError::NoReturn`], [`OrderError::Returned`].
    pub fn decline_return(&self, message: &str) -> Result<Option<Event>, OrderError> {
        match self.parts.status {
            Status::ReturnDeclined => Ok(None),
            Status::Returned => Err(OrderError::Returned),
            Status::ReturnRequested => Ok(Some(Event::ReturnDeclined {
                message: message.to_owned(),
            })),
            _ => Err(OrderError::NoReturn),
        }
    }
}

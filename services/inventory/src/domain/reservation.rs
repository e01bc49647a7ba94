//! An order's hold on stock.

use time::OffsetDateTime;
use uuid::Uuid;

use super::{event::Event, lines::Lines, shelf::Shelf, stock::StockError};

/// What became of a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The units are held.
    Held,
    /// Its time to live ended it.
    Expired,
    /// It was given back.
    Released,
    /// The units left the house.
    Committed,
    /// The units came back.
    Returned,
}

/// A move that the hold forbids.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReservationError {
    /// The stock forbids it.
    #[error(transparent)]
    Stock(#[from] StockError),
    /// The order holds other lines.
    #[error("The order has a reservation of other lines.")]
    Differs,
    /// The hold was given back or came to its end.
    #[error("The order's reservation has ended.")]
    Ended,
    /// The hold's time was over, and the units are gone.
    #[error("The order's reservation has expired. {0}")]
    Expired(StockError),
    /// The units have left the house: what is left is to return them.
    #[error("The order's units have left the house; they can only be returned.")]
    AlreadyCommitted,
    /// The units have not left the house yet; they still may.
    #[error("The order's units have not left the house yet.")]
    NotCommitted,
}

/// Everything that a hold is, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// UUIDv7.
    pub id: Uuid,
    /// Whose hold it is; an order has at most one.
    pub order: Uuid,
    /// What is held.
    pub lines: Lines,
    /// What became of it.
    pub state: State,
    /// When it ends by itself.
    pub expires: OffsetDateTime,
    /// Counts the changes; a save names the one that it read.
    pub version: i64,
}

/// An order's hold on stock: all of its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation(Parts);

impl Reservation {
    /// Holds all lines for an order.
    ///
    /// # Errors
    /// [`StockError::OutOfStock`] names the first short line; nothing is held.
    pub fn hold(
        id: Uuid,
        order: Uuid,
        lines: Lines,
        expires: OffsetDateTime,
        shelf: &mut Shelf,
    ) -> Result<(Self, Vec<Event>), StockError> {
        let mut events = shelf.hold(&lines)?;
        events.insert(
            0,
            Event::Reserved {
                order,
                lines: lines.clone(),
            },
        );
        let held = Self(Parts {
            id,
            order,
            lines,
            state: State::Held,
            expires,
            version: 1,
        });
        Ok((held, events))
    }

    /// The hold as it was stored.
    pub fn restore(parts: Parts) -> Self {
        Self(parts)
    }

    /// What the hold is made of.
    pub fn parts(&self) -> &Parts {
        &self.0
    }

    /// Whether a repeated wish for `lines` is met already.
    ///
    /// # Errors
    /// [`ReservationError::Differs`], [`ReservationError::Ended`], [`ReservationError::AlreadyCommitted`].
    pub fn meets(&self, lines: &Lines) -> Result<(), ReservationError> {
        match self.0.state {
            State::Held if self.0.lines.takes_the_same_as(lines) => Ok(()),
            State::Held => Err(ReservationError::Differs),
            State::Committed => Err(ReservationError::AlreadyCommitted),
            State::Expired | State::Released | State::Returned => Err(ReservationError::Ended),
        }
    }

    /// Gives the hold back. Says nothing where it has ended before.
    ///
    /// # Errors
    /// [`ReservationError::AlreadyCommitted`].
    pub fn release(&mut self, shelf: &mut Shelf) -> Result<Vec<Event>, ReservationError> {
        match self.0.state {
            State::Held => self.end(State::Released, shelf),
            State::Expired | State::Released | State::Returned => Ok(Vec::new()),
            State::Committed => Err(ReservationError::AlreadyCommitted),
        }
    }

    /// Ends the hold where its time is over. Says nothing where it is not, or where the hold has ended before.
    ///
    /// # Errors
    /// [`StockError::Unbalanced`].
    pub fn expire(
        &mut self,
        now: OffsetDateTime,
        shelf: &mut Shelf,
    ) -> Result<Vec<Event>, ReservationError> {
        if self.0.state != State::Held || now < self.0.expires {
            return Ok(Vec::new());
        }
        self.end(State::Expired, shelf)
    }

    /// Lets the units leave the house. Says nothing where they have.
    ///
    /// The order is paid by then and can only go on, so a hold that ended by its time is
    /// taken anew as long as the units are there.
    ///
    /// # Errors
    /// [`ReservationError::Expired`] where they are gone; [`ReservationError::Ended`].
    pub fn commit(&mut self, shelf: &mut Shelf) -> Result<Vec<Event>, ReservationError> {
        let mut events = match self.0.state {
            State::Held => shelf.commit(&self.0.lines)?,
            State::Expired => shelf
                .take(&self.0.lines)
                .map_err(ReservationError::Expired)?,
            State::Committed => return Ok(Vec::new()),
            State::Released | State::Returned => return Err(ReservationError::Ended),
        };
        self.0.state = State::Committed;
        events.insert(
            0,
            Event::Committed {
                order: self.0.order,
                lines: self.0.lines.clone(),
            },
        );
        Ok(events)
    }

    /// Takes the units back into the house. Says nothing where they are back.
    ///
    /// # Errors
    /// [`ReservationError::NotCommitted`]; [`ReservationError::Ended`] where they never will be.
    pub fn give_back(&mut self, shelf: &mut Shelf) -> Result<Vec<Event>, ReservationError> {
        match self.0.state {
            State::Committed => {
                let events = shelf.put_back(&self.0.lines)?;
                self.0.state = State::Returned;
                Ok(events)
            }
            State::Returned => Ok(Vec::new()),
            State::Held | State::Expired => Err(ReservationError::NotCommitted),
            State::Released => Err(ReservationError::Ended),
        }
    }

    fn end(&mut self, state: State, shelf: &mut Shelf) -> Result<Vec<Event>, ReservationError> {
        let mut events = shelf.release(&self.0.lines)?;
        self.0.state = state;
        let expired = state == State::Expired;
        events.insert(
            0,
            Event::Released {
                order: self.0.order,
                lines: self.0.lines.clone(),
                expired,
            },
        );
        Ok(events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{lines::Line, stock::Stock};

    const END: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn mugs(quantity: i64) -> Lines {
        Lines::of([Line {
            sku: "mug".into(),
            quantity,
        }])
        .expect("a good line")
    }

    fn held() -> (Reservation, Shelf) {
        let mut shelf = Shelf::of([Stock::restore("mug".into(), 5, 0, 1).expect("balanced")]);
        let (reservation, events) =
            Reservation::hold(Uuid::nil(), Uuid::max(), mugs(3), END, &mut shelf).expect("enough");
        assert_eq!(
            events,
            [Event::Reserved {
                order: Uuid::max(),
                lines: mugs(3)
            }]
        );
        (reservation, shelf)
    }

    fn counts(shelf: &Shelf) -> (i64, i64) {
        let mug = shelf.stocks().next().expect("the mug");
        (mug.on_hand(), mug.reserved())
    }

    fn committed() -> Event {
        Event::Committed {
            order: Uuid::max(),
            lines: mugs(3),
        }
    }

    #[test]
    fn a_hold_is_committed_once() {
        let (mut reservation, mut shelf) = held();
        assert_eq!(reservation.commit(&mut shelf), Ok(vec![committed()]));
        assert_eq!(reservation.commit(&mut shelf), Ok(vec![]));
        assert_eq!(counts(&shelf), (2, 0));
        assert_eq!(
            reservation.release(&mut shelf),
            Err(ReservationError::AlreadyCommitted)
        );
    }

    #[test]
    fn a_hold_is_released_once_and_then_never_committed() {
        let (mut reservation, mut shelf) = held();
        assert_eq!(reservation.release(&mut shelf).expect("held").len(), 1);
        assert_eq!(reservation.release(&mut shelf), Ok(vec![]));
        assert_eq!(counts(&shelf), (5, 0));
        assert_eq!(reservation.commit(&mut shelf), Err(ReservationError::Ended));
        assert_eq!(reservation.meets(&mugs(3)), Err(ReservationError::Ended));
    }

    #[test]
    fn a_hold_expires_when_its_time_is_over_and_not_before() {
        let (mut reservation, mut shelf) = held();
        assert_eq!(
            reservation.expire(END - time::Duration::SECOND, &mut shelf),
            Ok(vec![])
        );
        let released = Event::Released {
            order: Uuid::max(),
            lines: mugs(3),
            expired: true,
        };
        assert_eq!(reservation.expire(END, &mut shelf), Ok(vec![released]));
        assert_eq!(counts(&shelf), (5, 0));
        assert_eq!(
            reservation.release(&mut shelf),
            Ok(vec![]),
            "a late release finds nothing to do"
        );
    }

    #[test]
    fn an_expired_hold_is_committed_while_the_units_are_there() {
        let (mut reservation, mut shelf) = held();
        reservation.expire(END, &mut shelf).expect("over");
        assert_eq!(reservation.commit(&mut shelf), Ok(vec![committed()]));
        assert_eq!(counts(&shelf), (2, 0));
    }

    #[test]
    fn an_expired_hold_whose_units_are_gone_is_refused() {
        let (mut reservation, mut shelf) = held();
        reservation.expire(END, &mut shelf).expect("over");
        shelf.hold(&mugs(4)).expect("somebody else");
        let gone = StockError::OutOfStock {
            sku: "mug".into(),
            available: 1,
        };
        assert_eq!(
            reservation.commit(&mut shelf),
            Err(ReservationError::Expired(gone))
        );
        assert_eq!(counts(&shelf), (5, 4), "the other's hold stays");
    }

    #[test]
    fn only_committed_units_come_back_and_only_once() {
        let (mut reservation, mut shelf) = held();
        assert_eq!(
            reservation.give_back(&mut shelf),
            Err(ReservationError::NotCommitted)
        );
        reservation.commit(&mut shelf).expect("held");
        let adjusted = Event::Adjusted {
            sku: "mug".into(),
            on_hand: 5,
        };
        assert_eq!(reservation.give_back(&mut shelf), Ok(vec![adjusted]));
        assert_eq!(reservation.give_back(&mut shelf), Ok(vec![]));
        assert_eq!(counts(&shelf), (5, 0));
    }

    #[test]
    fn what_may_still_be_committed_is_waited_for_and_what_was_released_is_not() {
        let (mut reservation, mut shelf) = held();
        reservation.expire(END, &mut shelf).expect("over");
        assert_eq!(
            reservation.give_back(&mut shelf),
            Err(ReservationError::NotCommitted)
        );
        let (mut reservation, mut shelf) = held();
        reservation.release(&mut shelf).expect("held");
        assert_eq!(
            reservation.give_back(&mut shelf),
            Err(ReservationError::Ended)
        );
    }

    #[test]
    fn a_repeated_wish_is_met_by_the_same_lines_only() {
        let (reservation, _) = held();
        assert_eq!(reservation.meets(&mugs(3)), Ok(()));
        assert_eq!(reservation.meets(&mugs(2)), Err(ReservationError::Differs));
    }
}

//! One move of an order's hold: locked, made, stored, told.

use chassis::db::Tx;
use uuid::Uuid;

use crate::{
    domain::{
        event::Event,
        reservation::{Reservation, ReservationError},
        shelf::Shelf,
    },
    error::Error,
    events::publish::publish,
    store,
};

/// What a move came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The order never had a hold.
    NoHold,
    /// It was so already.
    Unchanged,
    /// It is so now.
    Changed,
}

/// Makes `go` of the order's hold.
pub(crate) async fn held(
    tx: &Tx,
    order: Uuid,
    go: impl FnOnce(&mut Reservation, &mut Shelf) -> Result<Vec<Event>, ReservationError>,
) -> Result<Outcome, Error> {
    let Some(mut reservation) = store::reservations::lock(tx, order).await? else {
        return Ok(Outcome::NoHold);
    };
    let mut shelf = store::stock::lock(tx, &reservation.parts().lines).await?;
    let events = go(&mut reservation, &mut shelf)?;
    if events.is_empty() {
        return Ok(Outcome::Unchanged);
    }
    store::reservations::save(tx, &reservation).await?;
    store::stock::save_all(tx, &shelf).await?;
    publish(tx, &events).await?;
    Ok(Outcome::Changed)
}

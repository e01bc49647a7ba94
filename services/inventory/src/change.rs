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

/// Makes `go` of the order's hold. False where the order never had one.
pub(crate) async fn held(
    tx: &Tx,
    order: Uuid,
    go: impl FnOnce(&mut Reservation, &mut Shelf) -> Result<Vec<Event>, ReservationError>,
) -> Result<bool, Error> {
    let Some(mut reservation) = store::reservations::lock(tx, order).await? else {
        return Ok(false);
    };
    let mut shelf = store::stock::lock(tx, &reservation.parts().lines).await?;
    let events = go(&mut reservation, &mut shelf)?;
    if !events.is_empty() {
        store::reservations::save(tx, &reservation).await?;
        store::stock::save_all(tx, &shelf).await?;
        publish(tx, events).await?;
    }
    Ok(true)
}

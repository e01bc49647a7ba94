//! Domain events as the contract's messages, into the outbox.

use chassis::{
    db::{Error, Tx},
    outbox,
};
use contracts::caravan::inventory::v1 as pb;

use crate::domain::{event::Event, lines::Lines};

/// Publishes the events with the unit of work, in their order.
///
/// # Errors
/// The database's own.
pub async fn publish(tx: &Tx, events: &[Event]) -> Result<(), Error> {
    for event in events {
        match event {
            Event::Adjusted { sku, on_hand } => {
                let message = pb::StockAdjusted {
                    sku: sku.clone(),
                    on_hand: *on_hand,
                };
                outbox::append(tx, &message).await?;
            }
            Event::Depleted { sku } => {
                outbox::append(tx, &pb::StockDepleted { sku: sku.clone() }).await?
            }
            Event::Reserved { order, lines } => {
                let message = pb::StockReserved {
                    order_id: order.to_string(),
                    lines: stock_lines(lines),
                };
                outbox::append(tx, &message).await?;
            }
            Event::Released {
                order,
                lines,
                expired,
            } => {
                let (order_id, lines) = (order.to_string(), stock_lines(lines));
                outbox::append(
                    tx,
                    &pb::StockReleased {
                        order_id,
                        lines,
                        expired: *expired,
                    },
                )
                .await?;
            }
            Event::Committed { order, lines } => {
                let message = pb::StockCommitted {
                    order_id: order.to_string(),
                    lines: stock_lines(lines),
                };
                outbox::append(tx, &message).await?;
            }
        }
    }
    Ok(())
}

fn stock_lines(lines: &Lines) -> Vec<pb::StockLine> {
    lines
        .iter()
        .map(|line| pb::StockLine {
            sku: line.sku.clone(),
            quantity: line.quantity,
        })
        .collect()
}

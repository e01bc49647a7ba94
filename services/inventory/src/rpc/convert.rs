//! Between the contract's messages and the domain.

use contracts::caravan::inventory::v1 as pb;
use uuid::Uuid;

use crate::{
    domain::{
        lines::{Line, Lines},
        stock::Stock,
    },
    error::Error,
};

/// A stock as the contract says it.
pub(super) fn stock(stock: &Stock) -> pb::Stock {
    pb::Stock {
        sku: stock.sku().to_owned(),
        on_hand: stock.on_hand(),
        reserved: stock.reserved(),
        available: stock.available(),
    }
}

/// The id of the order that a request is about.
pub(super) fn order_id(text: &str) -> Result<Uuid, Error> {
    text.parse()
        .map_err(|_| Error::invalid("orderId", "must be a UUID"))
}

/// The lines of an order, each sku once.
pub(super) fn lines(lines: &[pb::StockLine]) -> Result<Lines, Error> {
    let lines = lines.iter().map(|line| Line {
        sku: line.sku.clone(),
        quantity: line.quantity,
    });
    Lines::of(lines).ok_or_else(|| {
        Error::invalid(
            "lines",
            "must name at least one sku, each with at least 1 unit",
        )
    })
}

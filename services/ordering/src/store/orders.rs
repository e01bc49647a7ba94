//! Orders to rows and back.

use std::collections::HashMap;

use chassis::{clock, db::Error, page::Page};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect, sea_query::Expr,
};
use uuid::Uuid;

use super::entity::{
    order::{ActiveModel, Column, Entity, Model, Status as Row},
    order_line,
};
use crate::domain::{
    money::Money,
    order::{Line, Order, Parts, Rejection, Status},
};

/// Stores a new order.
///
/// # Errors
/// The database's own.
pub async fn insert(db: &impl ConnectionTrait, order: &Order) -> Result<(), Error> {
    let parts = order.parts();
    let row = ActiveModel {
        id: Set(parts.id),
        customer_id: Set(parts.customer_id),
        customer_name: Set(parts.customer_name.clone()),
        status: Set(row_status(parts.status)),
        currency_code: Set(parts
            .total
            .as_ref()
            .map(|total| total.currency_code.clone())),
        total_minor: Set(parts.total.as_ref().map(|total| total.minor_units)),
        rejection_reason: Set(parts
            .rejection
            .as_ref()
            .map(|rejection| rejection.reason.clone())),
        rejection_message: Set(parts
            .rejection
            .as_ref()
            .map(|rejection| rejection.message.clone())),
        created_at_us: Set(clock::to_us(parts.created)),
        updated_at_us: Set(clock::to_us(parts.updated)),
        version: Set(parts.version),
    };
    Entity::insert(row).exec_without_returning(db).await?;
    let lines = (0..)
        .zip(&parts.lines)
        .map(|(position, line)| order_line::ActiveModel {
            order_id: Set(parts.id),
            position: Set(position),
            sku: Set(line.sku.clone()),
            name: Set(line.name.clone()),
            quantity: Set(line.quantity),
            currency_code: Set(line
                .unit_price
                .as_ref()
                .map(|price| price.currency_code.clone())),
            unit_price_minor: Set(line.unit_price.as_ref().map(|price| price.minor_units)),
        });
    order_line::Entity::insert_many(lines)
        .exec_without_returning(db)
        .await?;
    Ok(())
}

/// Stores where a changed order stands; `version` counts exactly one change since it was read.
///
/// # Errors
/// [`Error::Conflict`] where somebody else changed it since then.
pub async fn save(db: &impl ConnectionTrait, order: &Order) -> Result<(), Error> {
    let parts = order.parts();
    let rejection = parts.rejection.as_ref();
    let saved = Entity::update_many()
        .col_expr(Column::Status, Expr::value(row_status(parts.status)))
        .col_expr(
            Column::RejectionReason,
            Expr::value(rejection.map(|rejection| rejection.reason.clone())),
        )
        .col_expr(
            Column::RejectionMessage,
            Expr::value(rejection.map(|rejection| rejection.message.clone())),
        )
        .col_expr(
            Column::UpdatedAtUs,
            Expr::value(clock::to_us(parts.updated)),
        )
        .col_expr(Column::Version, Expr::value(parts.version))
        .filter(Column::Id.eq(parts.id))
        .filter(Column::Version.eq(parts.version - 1))
        .exec(db)
        .await?;
    if saved.rows_affected == 1 {
        Ok(())
    } else {
        Err(Error::Conflict)
    }
}

/// The order with this id.
///
/// # Errors
/// The database's own.
pub async fn find(db: &impl ConnectionTrait, id: Uuid) -> Result<Option<Order>, Error> {
    let Some(row) = Entity::find_by_id(id).one(db).await? else {
        return Ok(None);
    };
    Ok(with_lines(db, vec![row]).await?.pop())
}

/// A page of orders, newest first; of one customer, or of all.
///
/// # Errors
/// The database's own.
pub async fn list(
    db: &impl ConnectionTrait,
    customer: Option<Uuid>,
    page: &Page,
) -> Result<Vec<Order>, Error> {
    let mut query = Entity::find();
    if let Some(customer) = customer {
        query = query.filter(Column::CustomerId.eq(customer));
    }
    if let Some(after) = page.after {
        query = query.filter(Column::Id.lt(after));
    }
    let rows = query
        .order_by_desc(Column::Id)
        .limit(page.limit())
        .all(db)
        .await?;
    with_lines(db, rows).await
}

/// Reads the lines of all orders with one query.
async fn with_lines(db: &impl ConnectionTrait, rows: Vec<Model>) -> Result<Vec<Order>, Error> {
    let ids = rows.iter().map(|row| row.id);
    let found = order_line::Entity::find()
        .filter(order_line::Column::OrderId.is_in(ids))
        .order_by_asc(order_line::Column::Position)
        .all(db)
        .await?;
    let mut lines: HashMap<Uuid, Vec<Line>> = HashMap::new();
    for row in found {
        lines.entry(row.order_id).or_default().push(Line {
            sku: row.sku,
            name: row.name,
            quantity: row.quantity,
            unit_price: money(row.currency_code, row.unit_price_minor),
        });
    }
    Ok(rows
        .into_iter()
        .map(|row| {
            let lines = lines.remove(&row.id).unwrap_or_default();
            order(row, lines)
        })
        .collect())
}

fn order(row: Model, lines: Vec<Line>) -> Order {
    Order::restore(Parts {
        id: row.id,
        customer_id: row.customer_id,
        customer_name: row.customer_name,
        status: match row.status {
            Row::Pending => Status::Pending,
            Row::Confirmed => Status::Confirmed,
            Row::Rejected => Status::Rejected,
            Row::Cancelled => Status::Cancelled,
            Row::ReturnRequested => Status::ReturnRequested,
            Row::Returned => Status::Returned,
            Row::ReturnDeclined => Status::ReturnDeclined,
        },
        lines,
        total: money(row.currency_code, row.total_minor),
        rejection: row.rejection_reason.map(|reason| Rejection {
            reason,
            message: row.rejection_message.unwrap_or_default(),
        }),
        created: clock::from_us(row.created_at_us),
        updated: clock::from_us(row.updated_at_us),
        version: row.version,
    })
}

fn money(currency_code: Option<String>, minor_units: Option<i64>) -> Option<Money> {
    Some(Money {
        currency_code: currency_code?,
        minor_units: minor_units?,
    })
}

fn row_status(status: Status) -> Row {
    match status {
        Status::Pending => Row::Pending,
        Status::Confirmed => Row::Confirmed,
        Status::Rejected => Row::Rejected,
        Status::Cancelled => Row::Cancelled,
        Status::ReturnRequested => Row::ReturnRequested,
        Status::Returned => Row::Returned,
        Status::ReturnDeclined => Row::ReturnDeclined,
    }
}

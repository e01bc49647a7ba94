//! The read model: orders as rows, for questions. Written in the unit of work of each event, and made of nothing but events.

use std::collections::HashMap;

use chassis::{clock, db::Error, page::Page};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, JoinType, QueryFilter, QueryOrder, QuerySelect,
    RelationDef, SelectTwo,
    sea_query::{Expr, OnConflict},
};
use uuid::Uuid;

use super::entity::{
    order::{ActiveModel, Column, Entity, Model, Status as Row},
    order_customer, order_line,
};
use crate::domain::{
    money::Money,
    order::{Line, Order, Parts, Rejection, Status},
};

/// Rows of an order and of who placed it.
type Found = (Model, Option<order_customer::Model>);

/// Stores what an order is after an event.
///
/// # Errors
/// The database's own.
pub(super) async fn project(db: &impl ConnectionTrait, order: &Order) -> Result<(), Error> {
    // The lines and all that is not here stay as the first event said.
    if order.parts().version > 1 && update(db, order).await? {
        return Ok(());
    }
    insert(db, order).await
}

/// Stores an order that has no rows. Rows that somebody else has stored by now stay.
pub(super) async fn insert(db: &impl ConnectionTrait, order: &Order) -> Result<(), Error> {
    let parts = order.parts();
    let (total, rejection) = (parts.total.as_ref(), parts.rejection.as_ref());
    let row = ActiveModel {
        id: Set(parts.id),
        customer_id: Set(parts.customer_id),
        status: Set(row_status(parts.status)),
        currency_code: Set(total.map(|total| total.currency_code.clone())),
        total_minor: Set(total.map(|total| total.minor_units)),
        rejection_reason: Set(rejection.map(|rejection| rejection.reason.clone())),
        rejection_message: Set(rejection.map(|rejection| rejection.message.clone())),
        created_at_us: Set(clock::to_us(parts.created)),
        updated_at_us: Set(clock::to_us(parts.updated)),
        version: Set(parts.version),
    };
    Entity::insert(row)
        .on_conflict(OnConflict::new().do_nothing().to_owned())
        .exec_without_returning(db)
        .await?;
    let lines = (0..).zip(&parts.lines).map(|(position, line)| {
        let price = line.unit_price.as_ref();
        order_line::ActiveModel {
            order_id: Set(parts.id),
            position: Set(position),
            sku: Set(line.sku.clone()),
            name: Set(line.name.clone()),
            quantity: Set(line.quantity),
            currency_code: Set(price.map(|price| price.currency_code.clone())),
            unit_price_minor: Set(price.map(|price| price.minor_units)),
        }
    });
    order_line::Entity::insert_many(lines)
        .on_conflict(OnConflict::new().do_nothing().to_owned())
        .exec_without_returning(db)
        .await?;
    Ok(())
}

/// Whether the order had a row; then it says where the order stands now.
async fn update(db: &impl ConnectionTrait, order: &Order) -> Result<bool, Error> {
    let parts = order.parts();
    let rejection = parts.rejection.as_ref();
    let updated = Entity::update_many()
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
        .exec(db)
        .await?;
    Ok(updated.rows_affected == 1)
}

/// Removes the rows of these orders.
pub(super) async fn remove(db: &impl ConnectionTrait, ids: &[Uuid]) -> Result<(), Error> {
    let ids = || ids.iter().copied();
    order_line::Entity::delete_many()
        .filter(order_line::Column::OrderId.is_in(ids()))
        .exec(db)
        .await?;
    Entity::delete_many()
        .filter(Column::Id.is_in(ids()))
        .exec(db)
        .await?;
    Ok(())
}

/// The order with this id.
///
/// # Errors
/// The database's own.
pub async fn find(db: &impl ConnectionTrait, id: Uuid) -> Result<Option<Order>, Error> {
    let found = Entity::find_by_id(id)
        .join(JoinType::LeftJoin, customers())
        .select_also(order_customer::Entity)
        .one(db)
        .await?;
    Ok(with_lines(db, found.into_iter().collect()).await?.pop())
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
    let found = query(customer, page).all(db).await?;
    with_lines(db, found).await
}

/// What [`list`] asks: served by an index however many orders there are.
pub(super) fn query(
    customer: Option<Uuid>,
    page: &Page,
) -> SelectTwo<Entity, order_customer::Entity> {
    let mut query = Entity::find();
    if let Some(customer) = customer {
        query = query.filter(Column::CustomerId.eq(customer));
    }
    if let Some(after) = page.after {
        query = query.filter(Column::Id.lt(after));
    }
    query
        .order_by_desc(Column::Id)
        .limit(page.limit())
        .join(JoinType::LeftJoin, customers())
        .select_also(order_customer::Entity)
}

/// The orders whose ids lie behind `after` and not behind `last`, by their ids; on PostgreSQL nobody else changes them before
/// the unit of work has ended.
pub(super) async fn locked(
    db: &impl ConnectionTrait,
    after: Uuid,
    last: Uuid,
) -> Result<HashMap<Uuid, Order>, Error> {
    let rows = Entity::find()
        .filter(Column::Id.gt(after))
        .filter(Column::Id.lte(last))
        .order_by_asc(Column::Id)
        .lock_exclusive()
        .all(db)
        .await?;
    let ids = rows.iter().map(|row| row.id);
    let customers = order_customer::Entity::find()
        .filter(order_customer::Column::OrderId.is_in(ids))
        .all(db)
        .await?;
    let mut customers: HashMap<_, _> = customers
        .into_iter()
        .map(|customer| (customer.order_id, customer))
        .collect();
    let found = rows.into_iter().map(|row| {
        let customer = customers.remove(&row.id);
        (row, customer)
    });
    let orders = with_lines(db, found.collect()).await?;
    Ok(orders
        .into_iter()
        .map(|order| (order.parts().id, order))
        .collect())
}

fn customers() -> RelationDef {
    Entity::belongs_to(order_customer::Entity)
        .from(Column::Id)
        .to(order_customer::Column::OrderId)
        .into()
}

/// Reads the lines of all orders with one query.
async fn with_lines(db: &impl ConnectionTrait, found: Vec<Found>) -> Result<Vec<Order>, Error> {
    let ids = found.iter().map(|(row, _)| row.id);
    let rows = order_line::Entity::find()
        .filter(order_line::Column::OrderId.is_in(ids))
        .order_by_asc(order_line::Column::Position)
        .all(db)
        .await?;
    let mut lines: HashMap<Uuid, Vec<Line>> = HashMap::new();
    for row in rows {
        lines.entry(row.order_id).or_default().push(Line {
            sku: row.sku,
            name: row.name,
            quantity: row.quantity,
            unit_price: money(row.currency_code, row.unit_price_minor),
        });
    }
    Ok(found
        .into_iter()
        .map(|(row, customer)| {
            let lines = lines.remove(&row.id).unwrap_or_default();
            order(row, customer, lines)
        })
        .collect())
}

fn order(row: Model, customer: Option<order_customer::Model>, lines: Vec<Line>) -> Order {
    Order::restore(Parts {
        id: row.id,
        customer_id: row.customer_id,
        customer_name: customer
            .map(|customer| customer.customer_name)
            .unwrap_or_default(),
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

//! Payments to rows and back.

use chassis::{clock, db::Error, page::Page};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, OnConflict},
};
use uuid::Uuid;

use super::entity::payment::{ActiveModel, Column, Entity, Model, Status as Row};
use crate::domain::{
    money::Money,
    payment::{Decline, Parts, Payment, Status},
};

/// Which payments a list shows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    /// Only those of this account.
    pub customer_id: Option<Uuid>,
    /// Only that of this order.
    pub order_id: Option<Uuid>,
}

/// Stores a new payment. False, and nothing is stored, where the order has one.
///
/// # Errors
/// The database's own.
pub async fn insert(db: &impl ConnectionTrait, payment: &Payment) -> Result<bool, Error> {
    let parts = payment.parts();
    let row = ActiveModel {
        id: Set(parts.id),
        order_id: Set(parts.order_id),
        customer_id: Set(parts.customer_id),
        status: Set(row_status(parts.status)),
        currency_code: Set(parts.amount.currency_code.clone()),
        amount_minor: Set(parts.amount.minor_units),
        payment_method: Set(parts.payment_method.clone()),
        decline_code: Set(None),
        method_unknown: Set(false),
        provider_reference: Set(None),
        created_at_us: Set(clock::to_us(parts.created)),
        updated_at_us: Set(clock::to_us(parts.updated)),
        version: Set(parts.version),
    };
    // Not a caught error: PostgreSQL would give up the whole unit of work.
    let mut skip_paid = OnConflict::column(Column::OrderId);
    skip_paid.do_nothing();
    let inserted = Entity::insert(row)
        .on_conflict(skip_paid)
        .exec_without_returning(db)
        .await?;
    Ok(inserted == 1)
}

/// Stores where a changed payment stands; `version` counts exactly one change since it was read.
///
/// # Errors
/// [`Error::Conflict`] where somebody else changed it since then.
pub async fn save(db: &impl ConnectionTrait, payment: &Payment) -> Result<(), Error> {
    let parts = payment.parts();
    let decline = parts.decline.as_ref();
    let saved = Entity::update_many()
        .col_expr(Column::Status, Expr::value(row_status(parts.status)))
        .col_expr(
            Column::PaymentMethod,
            Expr::value(parts.payment_method.clone()),
        )
        .col_expr(
            Column::DeclineCode,
            Expr::value(decline.map(|decline| decline.code.clone())),
        )
        .col_expr(
            Column::MethodUnknown,
            Expr::value(decline.is_some_and(|decline| decline.method_unknown)),
        )
        .col_expr(
            Column::ProviderReference,
            Expr::value(parts.provider_reference.clone()),
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

/// The payment with this id.
///
/// # Errors
/// The database's own.
pub async fn find(db: &impl ConnectionTrait, id: Uuid) -> Result<Option<Payment>, Error> {
    Ok(Entity::find_by_id(id).one(db).await?.map(payment))
}

/// The payment of this order.
///
/// # Errors
/// The database's own.
pub async fn find_by_order(
    db: &impl ConnectionTrait,
    order_id: Uuid,
) -> Result<Option<Payment>, Error> {
    Ok(Entity::find()
        .filter(Column::OrderId.eq(order_id))
        .one(db)
        .await?
        .map(payment))
}

/// A page of payments, newest first.
///
/// # Errors
/// The database's own.
pub async fn list(
    db: &impl ConnectionTrait,
    filter: Filter,
    page: &Page,
) -> Result<Vec<Payment>, Error> {
    let mut query = Entity::find();
    if let Some(customer) = filter.customer_id {
        query = query.filter(Column::CustomerId.eq(customer));
    }
    if let Some(order) = filter.order_id {
        query = query.filter(Column::OrderId.eq(order));
    }
    if let Some(after) = page.after {
        query = query.filter(Column::Id.lt(after));
    }
    let rows = query
        .order_by_desc(Column::Id)
        .limit(page.limit())
        .all(db)
        .await?;
    Ok(rows.into_iter().map(payment).collect())
}

fn payment(row: Model) -> Payment {
    let method_unknown = row.method_unknown;
    Payment::restore(Parts {
        id: row.id,
        order_id: row.order_id,
        customer_id: row.customer_id,
        status: match row.status {
            Row::Pending => Status::Pending,
            Row::Voiding => Status::Voiding,
            Row::Authorized => Status::Authorized,
            Row::Captured => Status::Captured,
            Row::Voided => Status::Voided,
            Row::Declined => Status::Declined,
            Row::Refunded => Status::Refunded,
        },
        amount: Money {
            currency_code: row.currency_code,
            minor_units: row.amount_minor,
        },
        payment_method: row.payment_method,
        decline: row.decline_code.map(|code| Decline {
            code,
            method_unknown,
        }),
        provider_reference: row.provider_reference,
        created: clock::from_us(row.created_at_us),
        updated: clock::from_us(row.updated_at_us),
        version: row.version,
    })
}

fn row_status(status: Status) -> Row {
    match status {
        Status::Pending => Row::Pending,
        Status::Voiding => Row::Voiding,
        Status::Authorized => Row::Authorized,
        Status::Captured => Row::Captured,
        Status::Voided => Row::Voided,
        Status::Declined => Row::Declined,
        Status::Refunded => Row::Refunded,
    }
}

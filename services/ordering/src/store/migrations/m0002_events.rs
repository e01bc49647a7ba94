//! Orders become what their events say. Those that are there already are carried over, each as one record of what it is.

use chassis::{
    clock,
    outbox::{self, Recorded},
};
use contracts::caravan::{common::v1::Money, ordering::v1 as pb};
use prost::Message as _;
use sea_orm::{ConnectionTrait, QueryResult, Statement};
use sea_orm_migration::{prelude::*, schema};
use uuid::Uuid;

use crate::store::upcast;

/// Orders that are carried over at a time.
const BATCH_ORDERS: i64 = 500;

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    /// All or nothing, on SQLite too.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(order_customers()).await?;
        manager.create_table(order_snapshots()).await?;
        let db = manager.get_connection();
        db.execute_unprepared(
            "INSERT INTO order_customers (order_id, customer_name) SELECT id, customer_name FROM orders",
        )
        .await?;
        carry_over(db).await?;
        let name = Table::alter()
            .table("orders")
            .drop_column("customer_name")
            .to_owned();
        manager.alter_table(name).await
    }
}

async fn carry_over(db: &impl ConnectionTrait) -> Result<(), DbErr> {
    let mut after = Uuid::nil();
    loop {
        let rows = rows(
            db,
            "SELECT * FROM orders WHERE id > $1 ORDER BY id LIMIT $2",
            [after.into(), BATCH_ORDERS.into()],
        )
        .await?;
        for row in &rows {
            after = row.try_get("", "id")?;
            let record = record(db, row).await?;
            outbox::carry_over(db, &after.to_string(), record)
                .await
                .map_err(|error| DbErr::Custom(error.to_string()))?;
        }
        if (rows.len() as i64) < BATCH_ORDERS {
            return Ok(());
        }
    }
}

/// The order as the record that [`upcast`] reads.
async fn record(db: &impl ConnectionTrait, row: &QueryResult) -> Result<Recorded, DbErr> {
    let id: Uuid = row.try_get("", "id")?;
    let customer_id: Uuid = row.try_get("", "customer_id")?;
    let status: String = row.try_get("", "status")?;
    let (created, updated) = (
        row.try_get("", "created_at_us")?,
        row.try_get("", "updated_at_us")?,
    );
    let reason: Option<String> = row.try_get("", "rejection_reason")?;
    let message: Option<String> = row.try_get("", "rejection_message")?;
    let lines = rows(
        db,
        "SELECT * FROM order_lines WHERE order_id = $1 ORDER BY position",
        [id.into()],
    )
    .await?;
    let order = pb::Order {
        order_id: id.to_string(),
        customer_id: customer_id.to_string(),
        status: self::status(&status)?.into(),
        lines: lines.iter().map(line).collect::<Result<_, _>>()?,
        total: money(row, "total_minor")?,
        rejection: reason.map(|reason| pb::Rejection {
            reason,
            message: message.unwrap_or_default(),
        }),
        create_time: Some(clock::timestamp_us(created)),
        update_time: Some(clock::timestamp_us(updated)),
        ..Default::default()
    };
    Ok(Recorded {
        version: row.try_get("", "version")?,
        event_type: upcast::STATE.to_owned(),
        // Never published.
        subject: String::new(),
        payload: order.encode_to_vec(),
        at: clock::from_us(updated),
        actor: None,
        request_id: None,
    })
}

fn line(row: &QueryResult) -> Result<pb::OrderLine, DbErr> {
    Ok(pb::OrderLine {
        sku: row.try_get("", "sku")?,
        name: row.try_get("", "name")?,
        quantity: row.try_get("", "quantity")?,
        unit_price: money(row, "unit_price_minor")?,
    })
}

fn money(row: &QueryResult, amount: &str) -> Result<Option<Money>, DbErr> {
    let currency_code: Option<String> = row.try_get("", "currency_code")?;
    let minor_units: Option<i64> = row.try_get("", amount)?;
    Ok(currency_code
        .zip(minor_units)
        .map(|(currency_code, minor_units)| Money {
            currency_code,
            minor_units,
        }))
}

fn status(text: &str) -> Result<pb::OrderStatus, DbErr> {
    match text {
        "pending" => Ok(pb::OrderStatus::Pending),
        "confirmed" => Ok(pb::OrderStatus::Confirmed),
        "rejected" => Ok(pb::OrderStatus::Rejected),
        "cancelled" => Ok(pb::OrderStatus::Cancelled),
        other => Err(DbErr::Custom(format!("an order stands at '{other}'"))),
    }
}

async fn rows<const N: usize>(
    db: &impl ConnectionTrait,
    sql: &str,
    values: [sea_orm::Value; N],
) -> Result<Vec<QueryResult>, DbErr> {
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
    db.query_all_raw(statement).await
}

fn order_customers() -> TableCreateStatement {
    Table::create()
        .table("order_customers")
        .col(schema::uuid("order_id").primary_key())
        .col(schema::string_len("customer_name", 100))
        .to_owned()
}

fn order_snapshots() -> TableCreateStatement {
    Table::create()
        .table("order_snapshots")
        .col(schema::uuid("order_id"))
        .col(schema::big_integer("version"))
        .col(schema::integer("schema"))
        .col(schema::big_integer("at_us"))
        .col(schema::blob("state"))
        .primary_key(Index::create().col("order_id").col("version"))
        .to_owned()
}

//! The table `orders`.

use sea_orm::entity::prelude::*;

/// Where an order stands, as its row says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(16))")]
pub enum Status {
    /// Placed.
    #[sea_orm(string_value = "pending")]
    Pending,
    /// Stock and money are held.
    #[sea_orm(string_value = "confirmed")]
    Confirmed,
    /// Turned down.
    #[sea_orm(string_value = "rejected")]
    Rejected,
    /// Taken back.
    #[sea_orm(string_value = "cancelled")]
    Cancelled,
    /// The customer wants to send it back.
    #[sea_orm(string_value = "return_requested")]
    ReturnRequested,
    /// Sent back.
    #[sea_orm(string_value = "returned")]
    Returned,
    /// It stays with the customer.
    #[sea_orm(string_value = "return_declined")]
    ReturnDeclined,
}

/// An order without its lines.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "orders")]
pub struct Model {
    /// UUIDv7; also the order of lists.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The account that placed it.
    pub customer_id: Uuid,
    /// Where it stands.
    pub status: Status,
    /// ISO 4217; null where there is no total.
    pub currency_code: Option<String>,
    /// Minor units of the currency, e.g. cents; null where a product is unknown.
    pub total_minor: Option<i64>,
    /// For programs; null unless it was rejected.
    pub rejection_reason: Option<String>,
    /// For people; null unless it was rejected.
    pub rejection_message: Option<String>,
    /// Microseconds since 1970.
    pub created_at_us: i64,
    /// Microseconds since 1970.
    pub updated_at_us: i64,
    /// Counts the changes.
    pub version: i64,
}

impl ActiveModelBehavior for ActiveModel {}

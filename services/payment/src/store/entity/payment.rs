//! The table `payments`.

use sea_orm::entity::prelude::*;

/// Where a payment stands, as its row says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(16))")]
pub enum Status {
    /// Asked of the provider.
    #[sea_orm(string_value = "pending")]
    Pending,
    /// To be given back.
    #[sea_orm(string_value = "voiding")]
    Voiding,
    /// Held.
    #[sea_orm(string_value = "authorized")]
    Authorized,
    /// Taken.
    #[sea_orm(string_value = "captured")]
    Captured,
    /// Given back.
    #[sea_orm(string_value = "voided")]
    Voided,
    /// Refused by the provider.
    #[sea_orm(string_value = "declined")]
    Declined,
    /// Sent back.
    #[sea_orm(string_value = "refunded")]
    Refunded,
}

/// The payment of one order.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "payments")]
pub struct Model {
    /// UUIDv7; also the order of lists.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The order that is paid.
    #[sea_orm(unique)]
    pub order_id: Uuid,
    /// The account that pays.
    pub customer_id: Uuid,
    /// Where it stands.
    pub status: Status,
    /// ISO 4217.
    pub currency_code: String,
    /// Minor units of the currency, e.g. cents.
    pub amount_minor: i64,
    /// The provider's name for the means of payment; null once the provider's answer is known.
    pub payment_method: Option<String>,
    /// The provider's word for why it said no.
    pub decline_code: Option<String>,
    /// Whether it said no because it does not know the means of payment.
    pub method_unknown: bool,
    /// The provider's id.
    pub provider_reference: Option<String>,
    /// Microseconds since 1970.
    pub created_at_us: i64,
    /// Microseconds since 1970.
    pub updated_at_us: i64,
    /// Counts the changes.
    pub version: i64,
}

impl ActiveModelBehavior for ActiveModel {}

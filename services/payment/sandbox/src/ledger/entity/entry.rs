//! Entries: every movement of money.

use sea_orm::entity::prelude::*;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "entries")]
pub(crate) struct Model {
    #[sea_orm(primary_key)]
    pub seq: i64,
    pub intent_id: String,
    pub order_id: Option<String>,
    pub kind: Kind,
    pub amount_minor: i64,
    pub currency: String,
    /// Unix microseconds.
    pub at_us: i64,
}

impl ActiveModelBehavior for ActiveModel {}

/// What an entry does to the money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub(crate) enum Kind {
    /// The amount is held.
    #[sea_orm(string_value = "authorize")]
    Authorize,
    /// A held amount is taken.
    #[sea_orm(string_value = "capture")]
    Capture,
    /// A held amount is given back.
    #[sea_orm(string_value = "cancel")]
    Cancel,
    /// A taken amount is sent back.
    #[sea_orm(string_value = "refund")]
    Refund,
    /// Nothing is held: the card was refused.
    #[sea_orm(string_value = "decline")]
    Decline,
}

impl Model {
    pub(crate) fn json(&self) -> Value {
        let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.at_us) * 1_000)
            .ok()
            .and_then(|at| at.format(&Rfc3339).ok());
        json!({
            "seq": self.seq,
            "intentId": self.intent_id,
            "orderId": self.order_id,
            "kind": self.kind.to_value(),
            "amountMinor": self.amount_minor,
            "currency": self.currency,
            "time": time,
        })
    }
}

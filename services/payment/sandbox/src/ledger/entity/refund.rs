//! Refunds.

use sea_orm::entity::prelude::*;
use serde_json::{Value, json};

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "refunds")]
pub(crate) struct Model {
    /// Order of creation.
    #[sea_orm(primary_key)]
    pub seq: i64,
    pub id: String,
    pub intent_id: String,
    pub amount_minor: i64,
    pub currency: String,
    pub reason: Option<String>,
    pub metadata: Json,
    /// Unix seconds.
    pub created_s: i64,
}

impl ActiveModelBehavior for ActiveModel {}

impl Entity {
    /// The row with this public id.
    pub(crate) fn named(id: &str) -> Select<Self> {
        Self::find().filter(Column::Id.eq(id))
    }
}

impl Model {
    /// The Refund object.
    pub(crate) fn json(&self) -> Value {
        json!({
            "id": self.id,
            "object": "refund",
            "amount": self.amount_minor,
            "charge": self.intent_id.replacen("pi_", "ch_", 1),
            "created": self.created_s,
            "currency": self.currency,
            "metadata": self.metadata,
            "payment_intent": self.intent_id,
            "reason": self.reason,
            "status": "succeeded",
        })
    }
}

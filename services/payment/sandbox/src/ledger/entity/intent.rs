//! Payment intents.

use sea_orm::entity::prelude::*;
use serde_json::{Value, json};

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "intents")]
pub(crate) struct Model {
    /// Order of creation.
    #[sea_orm(primary_key)]
    pub seq: i64,
    pub id: String,
    pub status: Status,
    /// Minor units of the currency, as all amounts here.
    pub amount_minor: i64,
    pub captured_minor: i64,
    pub refunded_minor: i64,
    pub currency: String,
    pub capture_method: String,
    pub payment_method: Option<String>,
    pub description: Option<String>,
    pub metadata: Json,
    /// The error object of the last decline.
    pub last_error: Option<Json>,
    pub cancellation_reason: Option<String>,
    /// Unix seconds.
    pub created_s: i64,
    /// Unix seconds.
    pub canceled_s: Option<i64>,
}

impl ActiveModelBehavior for ActiveModel {}

impl Entity {
    /// The row with this public id.
    pub(crate) fn named(id: &str) -> Select<Self> {
        Self::find().filter(Column::Id.eq(id))
    }
}

/// Where an intent stands, in Stripe's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub(crate) enum Status {
    #[sea_orm(string_value = "requires_payment_method")]
    RequiresPaymentMethod,
    #[sea_orm(string_value = "requires_confirmation")]
    RequiresConfirmation,
    #[sea_orm(string_value = "requires_capture")]
    RequiresCapture,
    #[sea_orm(string_value = "succeeded")]
    Succeeded,
    #[sea_orm(string_value = "canceled")]
    Canceled,
}

impl Model {
    /// The order that the merchant named in `metadata[order_id]`.
    pub(crate) fn order_id(&self) -> Option<String> {
        self.metadata["order_id"].as_str().map(str::to_owned)
    }

    /// Stripe's id of the charge: the same for the life of the intent, as each has one attempt here.
    fn charge(&self) -> Option<String> {
        let attempted = self.last_error.is_some()
            || matches!(self.status, Status::RequiresCapture | Status::Succeeded)
            || (self.status == Status::Canceled && self.payment_method.is_some());
        attempted.then(|| self.id.replacen("pi_", "ch_", 1))
    }

    /// The PaymentIntent object.
    pub(crate) fn json(&self) -> Value {
        let capturable = if self.status == Status::RequiresCapture {
            self.amount_minor
        } else {
            0
        };
        json!({
            "id": self.id,
            "object": "payment_intent",
            "amount": self.amount_minor,
            "amount_capturable": capturable,
            "amount_received": self.captured_minor,
            "canceled_at": self.canceled_s,
            "cancellation_reason": self.cancellation_reason,
            "capture_method": self.capture_method,
            "confirmation_method": "automatic",
            "created": self.created_s,
            "currency": self.currency,
            "customer": null,
            "description": self.description,
            "last_payment_error": self.last_error,
            "latest_charge": self.charge(),
            "livemode": false,
            "metadata": self.metadata,
            "payment_method": self.payment_method,
            "payment_method_types": ["card"],
            "status": self.status.to_value(),
        })
    }
}

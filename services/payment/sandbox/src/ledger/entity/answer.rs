//! Answers kept for their Idempotency-Key.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "answers")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub key: String,
    /// Path and parameters of the first request.
    pub request: String,
    /// HTTP status.
    pub status: i32,
    pub body: String,
    /// Unix seconds.
    pub created_s: i64,
}

impl ActiveModelBehavior for ActiveModel {}

//! The table `audit_entries`: rows come and, when they are too old, go; they never change, which triggers see to.

use sea_orm::entity::prelude::*;

/// Who did what to whom.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_entries")]
pub struct Model {
    /// UUIDv7; also the order of lists.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Microseconds since 1970.
    pub at_us: i64,
    /// `user:<id>`, `service:<name>` or `anonymous`.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// Whose account; null where there is none.
    pub account_id: Option<Uuid>,
    /// More about it.
    pub detail: String,
    /// The request that did it.
    pub request_id: String,
    /// The service that it was done in.
    pub service: String,
    /// To what; empty where it is the account or nobody's.
    pub target: String,
}

impl ActiveModelBehavior for ActiveModel {}

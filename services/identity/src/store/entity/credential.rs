//! The table `credentials`: apart from accounts, so that nobody reads a hash by the way.

use sea_orm::entity::prelude::*;

/// What an account is opened with.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "credentials")]
pub struct Model {
    /// Whose password it is.
    #[sea_orm(primary_key, auto_increment = false)]
    pub account_id: Uuid,
    /// A PHC string: algorithm, its parameters, salt and hash.
    #[sea_orm(column_type = "Text")]
    pub password_hash: String,
}

impl ActiveModelBehavior for ActiveModel {}

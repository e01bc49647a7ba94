//! The table `orchestrators`.

use sea_orm::entity::prelude::*;

/// A process that works on sagas of this database, or did lately.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "orchestrators")]
pub struct Model {
    /// As leases name it.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// When it last said that it is there. Microseconds since 1970.
    pub seen_at_us: i64,
}

impl ActiveModelBehavior for ActiveModel {}

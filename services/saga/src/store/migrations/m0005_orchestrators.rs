//! Who works on this database, so that each knows its share.

use sea_orm_migration::{prelude::*, schema};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let create = Table::create()
            .table("orchestrators")
            .col(schema::uuid("id").primary_key())
            .col(schema::big_integer("seen_at_us"))
            .to_owned();
        manager.create_table(create).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let drop = Table::drop().table("orchestrators").to_owned();
        manager.drop_table(drop).await
    }
}

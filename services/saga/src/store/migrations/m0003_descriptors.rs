//! Contracts of participants that are not built in, with the version of a definition that was checked against them.

use sea_orm_migration::{prelude::*, schema};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let add = Table::alter()
            .table("definitions")
            .add_column(schema::blob_null("descriptors"))
            .to_owned();
        manager.alter_table(add).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let drop = Table::alter()
            .table("definitions")
            .drop_column("descriptors")
            .to_owned();
        manager.alter_table(drop).await
    }
}

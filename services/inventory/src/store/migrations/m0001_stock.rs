//! Stock by sku. The database itself refuses to hold more than there is.

use sea_orm_migration::{prelude::*, schema};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("stock")
                    .col(schema::string_len("sku", 64).primary_key())
                    .col(schema::big_integer("on_hand"))
                    .col(schema::big_integer("reserved"))
                    .col(schema::big_integer("version"))
                    .check(Expr::col("reserved").gte(0))
                    .check(Expr::col("reserved").lte(Expr::col("on_hand")))
                    .to_owned(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("stock").to_owned())
            .await
    }
}

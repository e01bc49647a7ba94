//! Products, unique by sku, listed by state in the order of their ids.

use sea_orm_migration::{prelude::*, schema};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("products")
                    .col(schema::uuid("id").primary_key())
                    .col(schema::string_len_uniq("sku", 64))
                    .col(schema::string_len("name", 200))
                    .col(schema::text("description"))
                    .col(schema::string_len("currency_code", 3))
                    .col(schema::big_integer("price_minor"))
                    .col(schema::string_len("state", 16))
                    .col(schema::big_integer("created_at_us"))
                    .col(schema::big_integer("updated_at_us"))
                    .col(schema::big_integer("version"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(
                Index::create()
                    .name("products_by_state")
                    .table("products")
                    .col("state")
                    .col("id")
                    .to_owned(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("products").to_owned())
            .await
    }
}

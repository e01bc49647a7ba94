//! Orders with their lines, and copies of customers.

use sea_orm_migration::{prelude::*, schema};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(orders()).await?;
        manager.create_table(order_lines()).await?;
        manager.create_table(customers()).await?;
        let by_customer = Index::create()
            .name("orders_by_customer")
            .table("orders")
            .col("customer_id")
            .col("id")
            .to_owned();
        manager.create_index(by_customer).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["order_lines", "orders", "customers"] {
            manager
                .drop_table(Table::drop().table(table).to_owned())
                .await?;
        }
        Ok(())
    }
}

fn orders() -> TableCreateStatement {
    Table::create()
        .table("orders")
        .col(schema::uuid("id").primary_key())
        .col(schema::uuid("customer_id"))
        .col(schema::string_len("customer_name", 100))
        .col(schema::string_len("status", 16))
        .col(schema::string_len_null("currency_code", 3))
        .col(schema::big_integer_null("total_minor"))
        .col(schema::text_null("rejection_reason"))
        .col(schema::text_null("rejection_message"))
        .col(schema::big_integer("created_at_us"))
        .col(schema::big_integer("updated_at_us"))
        .col(schema::big_integer("version"))
        .to_owned()
}

fn order_lines() -> TableCreateStatement {
    Table::create()
        .table("order_lines")
        .col(schema::uuid("order_id"))
        .col(schema::integer("position"))
        .col(schema::string_len("sku", 64))
        .col(schema::string_len("name", 200))
        .col(schema::integer("quantity"))
        .col(schema::string_len_null("currency_code", 3))
        .col(schema::big_integer_null("unit_price_minor"))
        .primary_key(Index::create().col("order_id").col("position"))
        .to_owned()
}

fn customers() -> TableCreateStatement {
    Table::create()
        .table("customers")
        .col(schema::uuid("id").primary_key())
        .col(schema::string_len("display_name", 100))
        .col(schema::boolean("active"))
        .col(schema::big_integer("version"))
        .to_owned()
}

//! Payments, one an order, listed by customer in the order of their ids.

use sea_orm_migration::{prelude::*, schema};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let payments = Table::create()
            .table("payments")
            .col(schema::uuid("id").primary_key())
            .col(schema::uuid_uniq("order_id"))
            .col(schema::uuid("customer_id"))
            .col(schema::string_len("status", 16))
            .col(schema::string_len("currency_code", 3))
            .col(schema::big_integer("amount_minor"))
            .col(schema::string_len_null("payment_method", 100))
            .col(schema::text_null("decline_code"))
            .col(schema::boolean("method_unknown"))
            .col(schema::text_null("provider_reference"))
            .col(schema::big_integer("created_at_us"))
            .col(schema::big_integer("updated_at_us"))
            .col(schema::big_integer("version"))
            .to_owned();
        manager.create_table(payments).await?;
        let by_customer = Index::create()
            .name("payments_by_customer")
            .table("payments")
            .col("customer_id")
            .col("id")
            .to_owned();
        manager.create_index(by_customer).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("payments").to_owned())
            .await
    }
}

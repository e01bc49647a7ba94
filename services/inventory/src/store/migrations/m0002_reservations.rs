//! Holds by order, found by the time at which they end.

use sea_orm_migration::{prelude::*, schema};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("reservations")
                    .col(schema::uuid("order_id").primary_key())
                    .col(schema::uuid("reservation_id"))
                    .col(schema::json("lines"))
                    .col(schema::string_len("state", 16))
                    .col(schema::big_integer("expires_at_us"))
                    .col(schema::big_integer("version"))
                    .to_owned(),
            )
            .await?;
        // Small whatever the history: only what can still expire.
        let held =
            "CREATE INDEX reservations_held ON reservations (expires_at_us) WHERE state = 'held'";
        manager.get_connection().execute_unprepared(held).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("reservations").to_owned())
            .await
    }
}

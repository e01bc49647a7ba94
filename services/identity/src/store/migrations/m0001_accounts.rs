//! Accounts, unique by address, and apart from them their passwords' hashes.

use sea_orm_migration::{prelude::*, schema};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("accounts")
                    .col(schema::uuid("id").primary_key())
                    .col(schema::string_len_uniq("email", 254))
                    .col(schema::string_len("display_name", 100))
                    .col(schema::json("roles"))
                    .col(schema::string_len("state", 16))
                    .col(schema::big_integer("created_at_us"))
                    .col(schema::big_integer("version"))
                    .to_owned(),
            )
            .await?;
        let mut account = ForeignKey::create();
        account
            .from("credentials", "account_id")
            .to("accounts", "id");
        manager
            .create_table(
                Table::create()
                    .table("credentials")
                    .col(schema::uuid("account_id").primary_key())
                    .col(schema::text("password_hash"))
                    .foreign_key(&mut account)
                    .to_owned(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("credentials").to_owned())
            .await?;
        manager
            .drop_table(Table::drop().table("accounts").to_owned())
            .await
    }
}

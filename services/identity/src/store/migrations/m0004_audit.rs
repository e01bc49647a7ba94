//! Who did what to whose account.

use sea_orm_migration::{prelude::*, schema};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table("audit_entries")
            .col(schema::uuid("id").primary_key())
            .col(schema::big_integer("at_us"))
            .col(schema::string_len("actor", 100))
            .col(schema::string_len("action", 40))
            .col(schema::uuid_null("account_id"))
            .col(schema::text("detail"))
            .col(schema::text("request_id"))
            .to_owned();
        manager.create_table(table).await?;
        for (name, column) in [
            ("audit_entries_by_account", "account_id"),
            ("audit_entries_by_actor", "actor"),
        ] {
            let index = Index::create()
                .name(name)
                .table("audit_entries")
                .col(column)
                .col("id")
                .to_owned();
            manager.create_index(index).await?;
        }
        // For the purge.
        let by_age = Index::create()
            .name("audit_entries_by_age")
            .table("audit_entries")
            .col("at_us")
            .to_owned();
        manager.create_index(by_age).await
    }
}

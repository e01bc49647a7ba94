//! Service clients, access tokens that were revoked, and when each signing key signs.

use sea_orm_migration::{prelude::*, schema};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let clients = Table::create()
            .table("clients")
            .col(schema::uuid("id").primary_key())
            .col(schema::string_len_uniq("client_id", 64))
            .col(schema::text("description"))
            .col(schema::text("scopes"))
            .col(schema::blob("secret_hash"))
            .col(schema::big_integer("secret_made_at_us"))
            .col(schema::blob_null("previous_hash"))
            .col(schema::big_integer_null("previous_ends_at_us"))
            .col(schema::boolean("is_disabled"))
            .col(schema::big_integer("created_at_us"))
            .col(schema::big_integer("version"))
            .to_owned();
        manager.create_table(clients).await?;
        let revoked = Table::create()
            .table("revoked_tokens")
            .col(schema::uuid("id").primary_key())
            .col(schema::big_integer("ends_at_us"))
            .to_owned();
        manager.create_table(revoked).await?;
        let by_end = Index::create()
            .name("revoked_tokens_by_end")
            .table("revoked_tokens")
            .col("ends_at_us")
            .to_owned();
        manager.create_index(by_end).await?;
        // 0: has signed since it was made; and nobody knows yet how long its tokens last.
        for column in ["signs_from_us", "longest_token_us"] {
            let mut alter = Table::alter();
            alter
                .table("signing_keys")
                .add_column(schema::big_integer(column).default(0));
            manager.alter_table(alter).await?;
        }
        Ok(())
    }
}

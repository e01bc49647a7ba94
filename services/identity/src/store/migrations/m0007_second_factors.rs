//! Second factors, their recovery codes, and logins that wait for a code.

use sea_orm_migration::{prelude::*, schema};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let factors = Table::create()
            .table("second_factors")
            .col(schema::uuid("account_id").primary_key())
            .col(schema::blob("secret"))
            .col(schema::big_integer_null("enabled_at_us"))
            .col(schema::big_integer("last_step"))
            .col(schema::integer("wrong_codes"))
            .col(schema::big_integer_null("waits_until_us"))
            .col(schema::big_integer("version"))
            .to_owned();
        manager.create_table(factors).await?;
        let codes = Table::create()
            .table("recovery_codes")
            .col(schema::uuid("account_id"))
            .col(schema::blob("code_hash"))
            .primary_key(Index::create().col("account_id").col("code_hash"))
            .to_owned();
        manager.create_table(codes).await?;
        let challenges = Table::create()
            .table("login_challenges")
            .col(schema::uuid("id").primary_key())
            .col(schema::uuid("account_id"))
            .col(schema::blob("token_hash"))
            .col(schema::string_len("client", 100))
            .col(schema::integer("tries"))
            .col(schema::big_integer("ends_at_us"))
            .to_owned();
        manager.create_table(challenges).await?;
        for sql in [
            "CREATE UNIQUE INDEX login_challenges_by_token ON login_challenges (token_hash)",
            "CREATE INDEX login_challenges_of_account ON login_challenges (account_id, ends_at_us)",
            "CREATE INDEX login_challenges_by_end ON login_challenges (ends_at_us)",
        ] {
            manager.get_connection().execute_unprepared(sql).await?;
        }
        Ok(())
    }
}

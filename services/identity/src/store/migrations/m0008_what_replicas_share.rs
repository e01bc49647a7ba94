//! Failures of those who guess, and whose tokens are revoked until when.

use sea_orm_migration::{prelude::*, schema};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let failures = Table::create()
            .table("failures")
            .col(schema::uuid("id").primary_key())
            .col(schema::big_integer("forgotten_at_us"))
            .col(schema::integer("waits"))
            .col(schema::big_integer_null("waits_until_us"))
            .col(schema::big_integer("ends_at_us"))
            .to_owned();
        manager.create_table(failures).await?;
        // 0: nobody knows, and replicas of the release before do not say.
        for column in [
            schema::big_integer_null("made_until_us"),
            schema::big_integer("revoked_at_us").default(0).take(),
        ] {
            let mut alter = Table::alter();
            alter.table("revoked_tokens").add_column(column);
            manager.alter_table(alter).await?;
        }
        for sql in [
            "CREATE INDEX failures_by_end ON failures (ends_at_us)",
            "CREATE INDEX revoked_tokens_by_time ON revoked_tokens (revoked_at_us)",
        ] {
            manager.get_connection().execute_unprepared(sql).await?;
        }
        Ok(())
    }
}

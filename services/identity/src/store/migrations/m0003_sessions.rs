//! Logins that go on, mails that are waited for, and more about accounts.

use sea_orm_migration::{prelude::*, schema};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // SQLite takes one column at a time.
        for column in [
            schema::boolean("email_verified").default(false).to_owned(),
            schema::string_len("locale", 35).default("").to_owned(),
            schema::boolean("newsletter").default(false).to_owned(),
        ] {
            let mut alter = Table::alter();
            alter.table("accounts").add_column(column);
            manager.alter_table(alter).await?;
        }
        manager
            .create_table(
                Table::create()
                    .table("sessions")
                    .col(schema::uuid("id").primary_key())
                    .col(schema::uuid("account_id"))
                    .col(schema::string_len("client", 100))
                    .col(schema::blob("secret"))
                    .col(schema::big_integer("generation"))
                    .col(schema::big_integer("created_at_us"))
                    .col(schema::big_integer("refreshed_at_us"))
                    .col(schema::big_integer("ends_at_us"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("mails")
                    .col(schema::uuid("id").primary_key())
                    .col(schema::uuid_null("account_id"))
                    .col(schema::string_len("kind", 32))
                    .col(schema::string_len_uniq("token", 64))
                    .col(schema::big_integer("ends_at_us"))
                    .to_owned(),
            )
            .await?;
        for sql in [
            "CREATE INDEX sessions_of_account ON sessions (account_id, refreshed_at_us)",
            "CREATE INDEX sessions_by_end ON sessions (ends_at_us)",
            "CREATE INDEX mails_of_account ON mails (account_id)",
            "CREATE INDEX mails_by_end ON mails (ends_at_us)",
        ] {
            manager.get_connection().execute_unprepared(sql).await?;
        }
        Ok(())
    }
}

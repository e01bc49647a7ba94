//! Definitions by name and version, sagas by definition and key, and their logs.

use sea_orm_migration::{prelude::*, schema};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [definitions(), sagas(), saga_log()] {
            manager.create_table(table).await?;
        }
        for index in [
            "CREATE UNIQUE INDEX definitions_by_content ON definitions (name, content_hash)",
            "CREATE UNIQUE INDEX sagas_by_key ON sagas (definition, key)",
            "CREATE INDEX sagas_by_definition ON sagas (definition, id)",
            // Small whatever the history: only what is still to be worked on, or has stopped.
            "CREATE INDEX sagas_due ON sagas (due_at_us) WHERE due_at_us IS NOT NULL",
            "CREATE INDEX sagas_open ON sagas (state, id) WHERE state <> 'completed'",
        ] {
            manager.get_connection().execute_unprepared(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["saga_log", "sagas", "definitions"] {
            manager
                .drop_table(Table::drop().table(table).to_owned())
                .await?;
        }
        Ok(())
    }
}

fn definitions() -> TableCreateStatement {
    Table::create()
        .table("definitions")
        .col(schema::string_len("name", 64))
        .col(schema::integer("version"))
        .col(schema::blob("content"))
        .col(schema::blob("content_hash"))
        .col(schema::big_integer("created_at_us"))
        .primary_key(Index::create().col("name").col("version").primary())
        .to_owned()
}

fn sagas() -> TableCreateStatement {
    Table::create()
        .table("sagas")
        .col(schema::uuid("id").primary_key())
        .col(schema::string_len("definition", 64))
        .col(schema::integer("version"))
        .col(schema::string_len("key", 200))
        .col(schema::string_len("state", 16))
        .col(schema::big_integer("epoch"))
        .col(schema::uuid_null("owner"))
        .col(schema::big_integer_null("due_at_us"))
        .col(schema::blob("input"))
        .col(schema::integer("records"))
        .col(schema::text_null("failure_step"))
        .col(schema::text_null("failure_code"))
        .col(schema::text_null("failure_reason"))
        .col(schema::text_null("failure_message"))
        .col(schema::text_null("traceparent"))
        .col(schema::text_null("request_id"))
        .col(schema::big_integer("created_at_us"))
        .col(schema::big_integer("updated_at_us"))
        .to_owned()
}

fn saga_log() -> TableCreateStatement {
    Table::create()
        .table("saga_log")
        .col(schema::uuid("saga_id"))
        .col(schema::integer("number"))
        .col(schema::big_integer("at_us"))
        .col(schema::big_integer("epoch"))
        .col(schema::string_len("kind", 16))
        .col(schema::integer_null("step"))
        .col(schema::boolean("undoing"))
        .col(schema::integer("attempt"))
        .col(schema::blob_null("reply"))
        .col(schema::text_null("code"))
        .col(schema::text_null("reason"))
        .col(schema::text_null("message"))
        .col(schema::boolean("doubtful"))
        .col(schema::big_integer_null("due_at_us"))
        .col(schema::text_null("actor"))
        .primary_key(Index::create().col("saga_id").col("number").primary())
        .to_owned()
}

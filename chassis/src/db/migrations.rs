//! The tables that every service has beside its own.

use sea_orm_migration::prelude::*;

/// Migrations of the chassis' own tables; they are counted apart from the service's.
pub(super) struct ChassisMigrator;

#[async_trait::async_trait]
impl MigratorTrait for ChassisMigrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(First),
            Box::new(History),
            Box::new(Operations),
            Box::new(Turns),
        ]
    }

    fn migration_table_name() -> DynIden {
        Alias::new("caravan_migrations").into_iden()
    }
}

struct First;

impl MigrationName for First {
    fn name(&self) -> &str {
        "m0001_messaging"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for First {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [
            outbox(),
            outbox_stream(),
            inbox(),
            dead_letters(),
            saga_barrier(),
            saga_epochs(),
            idempotency(),
        ] {
            manager.create_table(table).await?;
        }
        // Small whatever the history: only what is still to be sent.
        let unsent = "CREATE INDEX outbox_unsent ON outbox (id) WHERE sent_at_us IS NULL";
        manager.get_connection().execute_unprepared(unsent).await?;
        for (table, column) in [
            ("outbox", "sent_at_us"),
            ("outbox", "stream_seq"),
            ("inbox", "handled_at_us"),
            ("saga_barrier", "created_at_us"),
            ("saga_epochs", "seen_at_us"),
            ("idempotency", "created_at_us"),
        ] {
            let index = format!("CREATE INDEX {table}_by_{column} ON {table} ({column})");
            manager.get_connection().execute_unprepared(&index).await?;
        }
        Ok(())
    }
}

/// Rows of the outbox may be the history of their aggregate; then they have a version and stay.
struct History;

impl MigrationName for History {
    fn name(&self) -> &str {
        "m0002_history"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for History {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // SQLite takes one column at a time.
        for mut column in [
            column("aggregate_version").big_integer().to_owned(),
            column("transient").blob().to_owned(),
            column("actor").text().to_owned(),
            column("saga_id").uuid().to_owned(),
        ] {
            let outbox = Alias::new("outbox");
            let alter = Table::alter()
                .table(outbox)
                .add_column(&mut column)
                .to_owned();
            manager.alter_table(alter).await?;
        }
        for sql in [
            "CREATE UNIQUE INDEX outbox_history ON outbox (aggregate_id, aggregate_version) \
             WHERE aggregate_version IS NOT NULL",
            // What the purge looks for, without what stays: it must not be read every hour.
            "DROP INDEX outbox_by_sent_at_us",
            "CREATE INDEX outbox_leaving ON outbox (sent_at_us) WHERE aggregate_version IS NULL",
            "CREATE INDEX outbox_transient ON outbox (sent_at_us) WHERE transient IS NOT NULL",
        ] {
            manager.get_connection().execute_unprepared(sql).await?;
        }
        Ok(())
    }
}

/// What replicas share out, what operators look at, and where consumers stand in history.
struct Operations;

impl MigrationName for Operations {
    fn name(&self) -> &str {
        "m0003_operations"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Operations {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (name, mut column) in [
            ("outbox", column("origin").big_integer().to_owned()),
            ("dead_letters", column("headers").text().to_owned()),
        ] {
            let alter = Table::alter()
                .table(Alias::new(name))
                .add_column(&mut column)
                .to_owned();
            manager.alter_table(alter).await?;
        }
        manager.create_table(consumers()).await?;
        manager.create_table(projections()).await?;
        Ok(())
    }
}

/// Whose turn it is to consume, and what may be the end of processes.
struct Turns;

impl MigrationName for Turns {
    fn name(&self) -> &str {
        "m0004_turns"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Turns {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let counter = |name| column(name).big_integer().not_null().default(0).to_owned();
        for mut column in [
            counter("asked"),
            counter("answered"),
            counter("beginnings"),
            column("unsettled_until").big_integer().to_owned(),
        ] {
            let alter = Table::alter()
                .table(Alias::new("consumers"))
                .add_column(&mut column)
                .to_owned();
            manager.alter_table(alter).await?;
        }
        manager.create_table(event_tries()).await
    }
}

fn table(name: &str) -> TableCreateStatement {
    Table::create().table(Alias::new(name)).to_owned()
}

fn column(name: &str) -> ColumnDef {
    ColumnDef::new(Alias::new(name))
}

fn key(columns: &[&str]) -> IndexCreateStatement {
    let mut index = Index::create();
    for column in columns {
        index.col(Alias::new(*column));
    }
    index.primary().to_owned()
}

fn outbox() -> TableCreateStatement {
    table("outbox")
        .col(
            column("id")
                .big_integer()
                .not_null()
                .auto_increment()
                .primary_key(),
        )
        .col(column("event_id").uuid().not_null())
        .col(column("event_type").text().not_null())
        .col(column("subject").text().not_null())
        .col(column("aggregate_id").text().not_null())
        .col(column("payload").blob().not_null())
        .col(column("traceparent").text())
        .col(column("request_id").text())
        .col(column("occurred_at_us").big_integer().not_null())
        .col(column("sent_at_us").big_integer())
        .col(column("stream_seq").big_integer())
        .to_owned()
}

fn outbox_stream() -> TableCreateStatement {
    table("outbox_stream")
        .col(column("id").integer().not_null().primary_key())
        .col(column("created_at_us").big_integer().not_null())
        .to_owned()
}

fn inbox() -> TableCreateStatement {
    table("inbox")
        .col(column("consumer").text().not_null())
        .col(column("event_id").uuid().not_null())
        .col(column("handled_at_us").big_integer().not_null())
        .primary_key(&mut key(&["consumer", "event_id"]))
        .to_owned()
}

fn dead_letters() -> TableCreateStatement {
    table("dead_letters")
        .col(column("consumer").text().not_null())
        .col(column("event_id").uuid().not_null())
        .col(column("subject").text().not_null())
        .col(column("aggregate_id").text().not_null())
        .col(column("event_type").text().not_null())
        .col(column("payload").blob().not_null())
        .col(column("code").text().not_null())
        .col(column("error").text().not_null())
        .col(column("attempts").big_integer().not_null())
        .col(column("died_at_us").big_integer().not_null())
        .primary_key(&mut key(&["consumer", "event_id"]))
        .to_owned()
}

fn saga_barrier() -> TableCreateStatement {
    table("saga_barrier")
        .col(column("saga_id").uuid().not_null())
        .col(column("step").text().not_null())
        .col(column("operation").text().not_null())
        .col(column("reply").blob())
        .col(column("created_at_us").big_integer().not_null())
        .primary_key(&mut key(&["saga_id", "step", "operation"]))
        .to_owned()
}

fn saga_epochs() -> TableCreateStatement {
    table("saga_epochs")
        .col(column("saga_id").uuid().not_null().primary_key())
        .col(column("epoch").big_integer().not_null())
        .col(column("seen_at_us").big_integer().not_null())
        .to_owned()
}

fn idempotency() -> TableCreateStatement {
    table("idempotency")
        .col(column("caller").text().not_null())
        .col(column("method").text().not_null())
        .col(column("key").text().not_null())
        .col(column("request_hash").blob().not_null())
        .col(column("reply").blob())
        .col(column("created_at_us").big_integer().not_null())
        .primary_key(&mut key(&["caller", "method", "key"]))
        .to_owned()
}

fn consumers() -> TableCreateStatement {
    table("consumers")
        .col(column("consumer").text().not_null().primary_key())
        .col(column("epoch").big_integer().not_null())
        .col(column("archive_position").big_integer().not_null())
        .col(column("complete_until_us").big_integer())
        .to_owned()
}

fn event_tries() -> TableCreateStatement {
    table("event_tries")
        .col(column("consumer").text().not_null())
        .col(column("event_id").uuid().not_null())
        .col(column("tries").big_integer().not_null())
        .col(column("tried_at_us").big_integer().not_null())
        .primary_key(&mut key(&["consumer", "event_id"]))
        .to_owned()
}

fn projections() -> TableCreateStatement {
    table("projections")
        .col(column("projection").text().not_null().primary_key())
        .col(column("serving").big_integer().not_null())
        .col(column("building").big_integer())
        .to_owned()
}

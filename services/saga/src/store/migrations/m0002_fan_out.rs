//! Items of steps, signals, where a saga stands, and the forgetting of what finished sagas were told.

use sea_orm_migration::{prelude::*, schema};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (table, mut column) in [
            ("saga_log", schema::integer_null("item")),
            ("sagas", schema::boolean("erased").default(false).take()),
            ("sagas", schema::text("current_steps").default("").take()),
        ] {
            let add = Table::alter()
                .table(table)
                .add_column(column.take())
                .to_owned();
            manager.alter_table(add).await?;
        }
        for index in [
            // By key alone, too.
            "DROP INDEX sagas_by_key",
            "CREATE UNIQUE INDEX sagas_by_key ON sagas (key, definition)",
        ] {
            manager.get_connection().execute_unprepared(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for index in [
            "DROP INDEX sagas_by_key",
            "CREATE UNIQUE INDEX sagas_by_key ON sagas (definition, key)",
        ] {
            manager.get_connection().execute_unprepared(index).await?;
        }
        for (table, column) in [
            ("saga_log", "item"),
            ("sagas", "erased"),
            ("sagas", "current_steps"),
        ] {
            let drop = Table::alter().table(table).drop_column(column).to_owned();
            manager.alter_table(drop).await?;
        }
        Ok(())
    }
}

//! An index for each question of operators and of the engine: what sagas there are costs nothing to those who ask for a few.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        for statement in [
            "DROP INDEX sagas_by_definition",
            "DROP INDEX sagas_open",
            "CREATE INDEX sagas_by_state ON sagas (definition, state, id)",
            // Only those that nobody works on: it does not change while a saga is at work. The names of steps are cut,
            // because an index takes no text of any length.
            "CREATE INDEX sagas_resting ON sagas (definition, state, substr(current_steps, 1, 200), id) \
             WHERE owner IS NULL AND state <> 'completed' AND state <> 'compensated'",
            // Never more than all orchestrators work on at a time.
            "CREATE INDEX sagas_owned ON sagas (owner, id) WHERE owner IS NOT NULL",
            "CREATE INDEX sagas_ended ON sagas (erased, updated_at_us) WHERE state IN ('completed', 'compensated')",
        ] {
            connection.execute_unprepared(statement).await?;
        }
        if connection.get_database_backend() == DbBackend::Postgres {
            // Room for new versions of a row beside the old one: a step changes nothing that is indexed.
            let room = "ALTER TABLE sagas SET (fillfactor = 70)";
            connection.execute_unprepared(room).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        for statement in [
            "DROP INDEX sagas_by_state",
            "DROP INDEX sagas_resting",
            "DROP INDEX sagas_owned",
            "DROP INDEX sagas_ended",
            "CREATE INDEX sagas_by_definition ON sagas (definition, id)",
            "CREATE INDEX sagas_open ON sagas (state, id) WHERE state <> 'completed'",
        ] {
            connection.execute_unprepared(statement).await?;
        }
        Ok(())
    }
}

//! An index for each question of operators and of the engine: however many sagas there are, a few are found at once.
//!
//! What changes with every step is in none of them: on PostgreSQL such a change costs no entry in any index.

use sea_orm_migration::{prelude::*, schema, sea_orm::DbBackend};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for mut column in [
            schema::text_null("rests_at"),
            schema::big_integer_null("ended_at_us"),
        ] {
            let add = Table::alter()
                .table("sagas")
                .add_column(column.take())
                .to_owned();
            manager.alter_table(add).await?;
        }
        let connection = manager.get_connection();
        for statement in [
            "UPDATE sagas SET ended_at_us = updated_at_us WHERE state IN ('completed', 'compensated')",
            "UPDATE sagas SET rests_at = substr(current_steps, 1, 200) \
             WHERE owner IS NULL AND state NOT IN ('completed', 'compensated')",
            "DROP INDEX sagas_by_definition",
            "DROP INDEX sagas_open",
            "CREATE INDEX sagas_by_state ON sagas (definition, state, id)",
            "CREATE INDEX sagas_resting ON sagas (definition, state, rests_at, id) WHERE rests_at IS NOT NULL",
            // Never more than all orchestrators work on at a time.
            "CREATE INDEX sagas_owned ON sagas (owner, id) WHERE owner IS NOT NULL",
            "CREATE INDEX sagas_ended ON sagas (erased, ended_at_us) WHERE ended_at_us IS NOT NULL",
        ] {
            connection.execute_unprepared(statement).await?;
        }
        if connection.get_database_backend() == DbBackend::Postgres {
            // Room for the next version of a row beside the one at hand.
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
        for column in ["rests_at", "ended_at_us"] {
            let drop = Table::alter().table("sagas").drop_column(column).to_owned();
            manager.alter_table(drop).await?;
        }
        Ok(())
    }
}

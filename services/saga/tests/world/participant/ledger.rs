//! The table of what participants did.

use sea_orm_migration::prelude::*;
use tonic::async_trait;

pub(super) struct Ledger;

#[async_trait]
impl MigratorTrait for Ledger {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(Effects)]
    }
}

struct Effects;

impl MigrationName for Effects {
    fn name(&self) -> &str {
        "m0001_effects"
    }
}

#[async_trait]
impl MigrationTrait for Effects {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let sql = "CREATE TABLE effects (id INTEGER PRIMARY KEY, order_id TEXT NOT NULL, effect TEXT NOT NULL, label TEXT NOT NULL)";
        manager
            .get_connection()
            .execute_unprepared(sql)
            .await
            .map(drop)
    }
}

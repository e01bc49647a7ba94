//! The schema, one step a file.

use sea_orm_migration::prelude::*;

mod m0001_sagas;
mod m0002_fan_out;
mod m0003_descriptors;
mod m0004_questions;
mod m0005_orchestrators;

/// Every step, oldest first.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_sagas::Migration),
            Box::new(m0002_fan_out::Migration),
            Box::new(m0003_descriptors::Migration),
            Box::new(m0004_questions::Migration),
            Box::new(m0005_orchestrators::Migration),
        ]
    }
}

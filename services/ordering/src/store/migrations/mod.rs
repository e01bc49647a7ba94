//! The schema, one step a file.

use sea_orm_migration::prelude::*;

mod m0001_orders;
mod m0002_events;

/// Every step, oldest first.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_orders::Migration),
            Box::new(m0002_events::Migration),
        ]
    }
}

/// The schema as it was before orders had events.
#[cfg(test)]
pub(super) struct BeforeEvents;

#[cfg(test)]
#[async_trait::async_trait]
impl MigratorTrait for BeforeEvents {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(m0001_orders::Migration)]
    }
}

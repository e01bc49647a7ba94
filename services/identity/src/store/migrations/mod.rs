//! The schema, one step a file.

use sea_orm_migration::prelude::*;

mod m0001_accounts;
mod m0002_signing_keys;
mod m0003_sessions;
mod m0004_audit;
mod m0005_clients;
mod m0006_audit_of_all;
mod m0007_second_factors;
mod m0008_what_replicas_share;

/// Every step, oldest first.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_accounts::Migration),
            Box::new(m0002_signing_keys::Migration),
            Box::new(m0003_sessions::Migration),
            Box::new(m0004_audit::Migration),
            Box::new(m0005_clients::Migration),
            Box::new(m0006_audit_of_all::Migration),
            Box::new(m0007_second_factors::Migration),
            Box::new(m0008_what_replicas_share::Migration),
        ]
    }
}

//! The inventory service's process.

use std::process::ExitCode;

use contracts::caravan::inventory::v1::inventory_service_server::InventoryServiceServer;
use inventory::{config::Config, expiry, rpc::Rpc, store::migrations::Migrator};

fn main() -> ExitCode {
    chassis::run("inventory", |config: Config, kit| async move {
        let db = kit.database::<Migrator>().await?;
        kit.grpc(InventoryServiceServer::new(Rpc::new(
            db.clone(),
            config.hold_ttl,
        )))
        .task("expiry", move |drain| {
            expiry::run(db, config.expiry_interval, drain)
        })
        .serve() // Drains on SIGTERM.
        .await
    })
}

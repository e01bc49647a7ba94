//! The catalog service's process.

use std::process::ExitCode;

use catalog::{config::Config, rpc::Rpc, store::migrations::Migrator};
use contracts::caravan::catalog::v1::catalog_service_server::CatalogServiceServer;

fn main() -> ExitCode {
    chassis::run("catalog", |_config: Config, kit| async move {
        let db = kit.database::<Migrator>().await?;
        kit.grpc(CatalogServiceServer::new(Rpc::new(db)))
            .serve() // Drains on SIGTERM.
            .await
    })
}

//! The ordering service's process.

use std::process::ExitCode;

use chassis::saga_definitions::SagaDefinitions;
use contracts::caravan::ordering::v1::{
    order_history_service_server::OrderHistoryServiceServer,
    ordering_service_server::OrderingServiceServer,
};
use ordering::{
    SAGAS,
    config::Config,
    events::{on_account_closed, on_account_registered, on_account_updated},
    rpc::Rpc,
    store::migrations::Migrator,
    upstream::{Catalog, Identity},
};

fn main() -> ExitCode {
    chassis::run("ordering", |_config: Config, kit| async move {
        let db = kit.database::<Migrator>().await?;
        let rpc = Rpc::new(
            db.clone(),
            Catalog::new(kit.channel("catalog")?),
            Identity::new(kit.channel("identity")?),
            kit.drain(),
        );
        let sagas = SagaDefinitions::new(kit.channel("saga")?, &SAGAS);
        kit.grpc(OrderingServiceServer::new(rpc.clone()))
            .grpc(OrderHistoryServiceServer::new(rpc))
            .ready_when("sagas", sagas.check())
            .task("saga definitions", |stop| sagas.register(stop))
            .consume(on_account_registered::consumer(db.clone()))
            .consume(on_account_updated::consumer(db.clone()))
            .consume(on_account_closed::consumer(db))
            .serve() // Drains on SIGTERM.
            .await
    })
}

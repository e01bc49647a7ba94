//! The identity service's process.

use std::process::ExitCode;

use contracts::caravan::identity::v1::{
    audit_service_server::AuditServiceServer, identity_service_server::IdentityServiceServer,
    second_factor_service_server::SecondFactorServiceServer,
};
use identity::{
    bootstrap, config::Config, events::on_action_recorded, housekeeping, rpc::Rpc,
    store::migrations::Migrator, tokens::Tokens,
};

fn main() -> ExitCode {
    chassis::run("identity", |config: Config, kit| async move {
        let db = kit.database::<Migrator>().await?;
        let tokens = Tokens::open(&db, &config.common.token_issuer, config.token_lifetime).await?;
        let rpc = Rpc::new(
            db.clone(),
            tokens.clone(),
            config.service_clients()?,
            (config.hashes_at_once, config.seal()?),
        );
        bootstrap::admin(&rpc, &config).await?;
        kit.grpc(IdentityServiceServer::new(rpc.clone()))
            .grpc(SecondFactorServiceServer::new(rpc.clone()))
            .grpc(AuditServiceServer::new(rpc))
            .consume_all(on_action_recorded::consumers(&db))
            .keys(tokens) // Its own; everybody else asks for them by GetKeySet.
            .task("housekeeping", move |drain| housekeeping::run(db, drain))
            .serve() // Drains on SIGTERM.
            .await
    })
}

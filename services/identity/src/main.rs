//! The identity service's process.

use std::{process::ExitCode, sync::Arc};

use contracts::caravan::identity::v1::{
    audit_service_server::AuditServiceServer, client_service_server::ClientServiceServer,
    identity_service_server::IdentityServiceServer, o_auth_service_server::OAuthServiceServer,
    second_factor_service_server::SecondFactorServiceServer,
    signing_key_service_server::SigningKeyServiceServer,
};
use identity::{
    bootstrap,
    config::Config,
    events::on_action_recorded,
    housekeeping,
    rpc::{Rpc, clients::Clients, keys::Keys, oauth::OAuth},
    store::migrations::Migrator,
    tokens::Tokens,
};

fn main() -> ExitCode {
    chassis::run("identity", |config: Config, kit| async move {
        let db = kit.database::<Migrator>().await?;
        let tokens = Tokens::open(&db, config.token_rules()?).await?;
        let services = Arc::new(config.service_clients()?);
        let rpc = Rpc::new(
            db.clone(),
            tokens.clone(),
            services.clone(),
            (config.hashes_at_once, config.seal()?),
        );
        bootstrap::admin(&rpc, &config).await?;
        let public_url = config.public_url();
        let oauth = OAuth::new(
            db.clone(),
            tokens.clone(),
            services.clone(),
            public_url.as_deref(),
        );
        let keys = Keys::new(db.clone(), tokens.clone());
        let clients = Clients::new(db.clone(), services);
        let (kept, keys_of) = (tokens.clone(), db.clone());
        kit.grpc(IdentityServiceServer::new(rpc.clone()))
            .grpc(SecondFactorServiceServer::new(rpc.clone()))
            .grpc(AuditServiceServer::new(rpc))
            .consume_all(on_action_recorded::consumers(&db))
            .grpc(OAuthServiceServer::new(oauth))
            .grpc(ClientServiceServer::new(clients))
            .grpc(SigningKeyServiceServer::new(keys))
            .task("signing keys", move |drain| kept.keep(keys_of, drain))
            .keys(tokens) // Its own; everybody else asks for them by GetKeySet.
            .task("housekeeping", move |drain| housekeeping::run(db, drain))
            .serve() // Drains on SIGTERM.
            .await
    })
}

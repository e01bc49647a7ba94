//! The identity service's process.

use std::process::ExitCode;

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
        let rpc = Rpc::new(
            db.clone(),
            tokens.clone(),
            config.service_clients()?,
            (config.hashes_at_once, config.seal()?),
        );
        bootstrap::admin(&rpc, &config).await?;
        let oauth = OAuth::new(&rpc, config.public_url().as_deref());
        kit.grpc(IdentityServiceServer::new(rpc.clone()))
            .grpc(SecondFactorServiceServer::new(rpc.clone()))
            .grpc(AuditServiceServer::new(rpc.clone()))
            .grpc(OAuthServiceServer::new(oauth))
            .grpc(ClientServiceServer::new(Clients::new(&rpc)))
            .grpc(SigningKeyServiceServer::new(Keys::new(&rpc)))
            .consume_all(on_action_recorded::consumers(&db))
            .keys(tokens.clone()) // Its own; everybody else asks for them by GetKeySet.
            .task("housekeeping", move |drain| {
                housekeeping::run(db, tokens, drain)
            })
            .serve() // Drains on SIGTERM.
            .await
    })
}

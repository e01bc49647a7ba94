//! The service as a whole.

use chassis::{Kit, Service};
use contracts::caravan::saga::v1::saga_service_server::SagaServiceServer;

use crate::{
    config::Config,
    engine::{Engine, Retention, Settings},
    events::triggers::Triggers,
    participants::Participants,
    registry::Registry,
    rpc::Rpc,
    store::migrations::Migrator,
};

/// Puts the service together: rpcs, engine, and the consumers of what triggers sagas.
///
/// # Errors
/// The database cannot be opened, or the config cannot be used.
pub async fn service(config: Config, kit: Kit) -> anyhow::Result<Service> {
    let db = kit.database::<Migrator>().await?;
    let participants = Participants::new(&kit, &config.common.upstreams, config.participants)?;
    let registry = Registry::new(db.clone(), participants.clone());
    let settings = Settings {
        lease: config.lease,
        concurrency: config.concurrency,
        retention: Retention {
            data: config.data_retention,
            saga: config.retention,
        },
    };
    let engine = Engine::new(db, registry, participants, settings);
    let triggers = Triggers::new(
        engine.clone(),
        async_nats::jetstream::new(kit.nats().await?),
        kit.name(),
    );
    Ok(kit
        .grpc(SagaServiceServer::new(Rpc::new(
            engine.clone(),
            kit.drain(),
        )))
        // Consumers of subjects that are known only once definitions are registered.
        .task("triggers", |stop| triggers.run(stop))
        .task("sagas", |stop| engine.run(stop)))
}
